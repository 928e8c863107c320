const client = require('../../utils/client.js')
const { enter } = require('../../utils/problem.js')

Page({
  data: { busy: false, problem: '' },

  async submit({ detail }) {
    const { username, password } = detail.value
    if (!username || !password) return this.setData({ problem: '请输入账号和密码' })
    await enter(this, () => client.bind({ username, password }))
  }
})

const client = require('../../utils/client.js')
const { leave, textOf } = require('../../utils/problem.js')

Page({
  data: { busy: false, problem: '' },

  async submit({ detail }) {
    const { username, password } = detail.value
    if (!username || !password) return this.setData({ problem: '请输入账号和密码' })
    this.setData({ busy: true, problem: '' })
    try {
      await client.bind({ username, password })
      wx.reLaunch({ url: '/pages/home/home' })
    } catch (error) {
      this.setData({ busy: false, problem: leave(error) ? '' : textOf(error) })
    }
  }
})

const client = require('../../utils/client.js')
const { enter } = require('../../utils/problem.js')

Page({
  data: { busy: false, problem: '' },

  async logIn() {
    await enter(this, () => client.login())
  }
})

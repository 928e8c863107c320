const client = require('../../utils/client.js')
const { leave, textOf } = require('../../utils/problem.js')

Page({
  data: { busy: false, problem: '' },

  async logIn() {
    this.setData({ busy: true, problem: '' })
    try {
      await client.login()
      wx.reLaunch({ url: '/pages/home/home' })
    } catch (error) {
      this.setData({ busy: false, problem: leave(error) ? '' : textOf(error) })
    }
  }
})

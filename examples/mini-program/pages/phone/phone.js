const client = require('../../utils/client.js')
const { leave, textOf } = require('../../utils/problem.js')

Page({
  data: { busy: false, problem: '' },

  // There is no code if the user declines.
  async bindPhone({ detail }) {
    if (!detail.code) return
    this.setData({ busy: true, problem: '' })
    try {
      await client.bind({ phoneCode: detail.code })
      wx.reLaunch({ url: '/pages/home/home' })
    } catch (error) {
      this.setData({ busy: false, problem: leave(error) ? '' : textOf(error) })
    }
  }
})

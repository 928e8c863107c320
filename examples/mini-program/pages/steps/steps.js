// pages/steps/steps.js
const { userData } = require('../../utils/user-data.js')

Page({
  data: { days: [], problem: '' },

  // <button bindtap="show">
  async show() {
    try {
      const { stepInfoList } = await userData(() => wx.getWeRunData())
      this.setData({ days: stepInfoList, problem: '' })
    } catch (problem) {
      this.setData({ problem: problem.code || problem.errMsg }) // errMsg: the user has declined
    }
  }
})

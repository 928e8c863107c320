const client = require('../../utils/client.js')
const { enter } = require('../../utils/problem.js')

Page({
  data: { busy: false, problem: '' },

  // There is no code if the user declines.
  async bindPhone({ detail }) {
    if (!detail.code) return
    await enter(this, () => client.bind({ phoneCode: detail.code }))
  }
})

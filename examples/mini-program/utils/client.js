// The one client of the mini program. Every page uses it, so that all share one login.
const { createClient } = require('wxmint-miniprogram')
const { WXMINT } = require('../config.js')

module.exports = createClient({
  url: WXMINT,
  onEvent({ type }) {
    if (type === 'logout') wx.reLaunch({ url: '/pages/login/login' })
  }
})

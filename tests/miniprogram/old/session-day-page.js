// pages/index/index.js
// 首页：sessionId 存在本地，一天之内不用重新登录
var ONE_DAY = 24 * 60 * 60 * 1000

Page({
  data: {
    user: '',
    tip: ''
  },

  onLoad: function () {
    var sessionId = wx.getStorageSync('SESSION_ID')
    var loginTime = wx.getStorageSync('LOGIN_TIME')
    var now = +new Date()
    if (sessionId && now - loginTime < ONE_DAY) {
      // 还没过期，直接用
      this.showUser(sessionId)
    } else {
      // 没有登录过，或者已经过了一天
      wx.removeStorageSync('SESSION_ID')
      this.login()
    }
  },

  login: function () {
    var that = this
    wx.login({
      success: function (res) {
        wx.request({
          url: 'https://login.example.com/login',
          data: {
            code: res.code
          },
          success: function (res) {
            if (res.statusCode !== 200) {
              that.setData({ tip: '登录失败' })
              return
            }
            // 从收到回复的时刻开始算一天
            wx.setStorageSync('SESSION_ID', res.data.sessionId)
            wx.setStorageSync('LOGIN_TIME', +new Date())
            that.showUser(res.data.sessionId)
          }
        })
      },
      fail: function (err) {
        console.error('wx.login 失败', err)
      }
    })
  },

  showUser: function (sessionId) {
    var that = this
    wx.request({
      url: 'https://api.example.com/me',
      header: { sessionid: sessionId },
      success: function (res) {
        that.setData({ user: res.data.user })
      }
    })
  }
})

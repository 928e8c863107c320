// app.js
App({
  globalData: {
    token: ''
  },

  onLaunch: function () {
    // 启动时先登录一次
    this.login(function () {})
  },

  login: function (done) {
    var that = this
    wx.login({
      success: function (res) {
        wx.request({
          url: 'https://login.example.com/user/login?code=' + res.code,
          success: function (res) {
            that.globalData.token = res.data.token
            done(res.data.token)
          }
        })
      }
    })
  },

  // 带 token 的请求；没有 token 就先登录
  get: function (path, done) {
    var send = function (token) {
      wx.request({
        url: 'https://api.example.com' + path,
        header: { token: token },
        success: function (res) {
          done(res.data)
        }
      })
    }
    if (this.globalData.token) {
      send(this.globalData.token)
    } else {
      this.login(send)
    }
  }
})

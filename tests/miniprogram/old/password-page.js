// pages/login/login.js
// 登录页：输入账号和密码，点“登录”
Page({
  data: {
    username: '',
    password: '',
    tip: ''
  },

  inputUsername: function (e) {
    this.setData({ username: e.detail.value })
  },

  inputPassword: function (e) {
    this.setData({ password: e.detail.value })
  },

  // 点击“登录”按钮
  tapLogin: function () {
    var that = this
    wx.login({
      success: function (res) {
        if (!res.code) {
          that.setData({ tip: '微信登录失败：' + res.errMsg })
          return
        }
        // 把账号、密码和 code 一起发给后台，后台会把账号和微信绑定
        wx.request({
          url: 'https://login.example.com/login',
          data: {
            username: that.data.username,
            password: that.data.password,
            code: res.code
          },
          success: function (res) {
            if (res.statusCode === 200) {
              that.setData({ tip: '登录成功' })
              that.showUser(res.data.sessionId)
            } else {
              that.setData({ tip: '登录失败，请检查账号和密码' })
            }
          },
          fail: function () {
            that.setData({ tip: '网络异常，请稍后再试' })
          }
        })
      }
    })
  },

  // 业务接口：凭 sessionId 查询
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

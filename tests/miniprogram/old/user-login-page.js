// pages/index/index.js
var app = getApp()

Page({
  data: {
    users: []
  },

  onLoad: function () {
    this.refresh()
  },

  // 首页的五块内容同时加载
  refresh: function () {
    var that = this
    that.setData({ users: [] })
    var paths = ['/me', '/banner', '/goods', '/cart', '/coupons']
    paths.forEach(function (path) {
      app.get(path, function (data) {
        that.setData({ users: that.data.users.concat(data.user) })
      })
    })
  }
})

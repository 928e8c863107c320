Page({
  data: { text: '' },

  onLoad({ text }) {
    this.setData({ text: decodeURIComponent(text) })
  },

  retry() {
    wx.reLaunch({ url: '/pages/home/home' })
  }
})

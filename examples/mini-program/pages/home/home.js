const client = require('../../utils/client.js')
const { leave, textOf } = require('../../utils/problem.js')
const { API } = require('../../config.js')

Page({
  data: { userId: '', orders: null },

  // Nothing here logs in: `request` does, if there is no token.
  async onLoad() {
    try {
      const { statusCode, data } = await client.request({ url: `${API}/orders` })
      if (statusCode !== 200) return stop({ code: `http_${statusCode}` })
      this.setData({ userId: client.state().userId, orders: data.orders })
    } catch (error) {
      if (!leave(error, '/pages/home/home')) stop(error)
    }
  }
})

function stop(error) {
  wx.reLaunch({ url: `/pages/offline/offline?text=${encodeURIComponent(textOf(error))}` })
}

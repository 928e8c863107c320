const { client } = require('./client.js')

Page({
  data: { user: '', problem: '' },

  async onLoad() {
    try {
      const { data } = await client.request({ url: 'https://api.example.com/orders' })
      this.setData({ user: data.user })
    } catch (problem) {
      this.setData({ problem: problem.code })
    }
  }
})

const client = require('../../utils/client.js')
const { leave, textOf } = require('../../utils/problem.js')

Page({
  data: { userId: '', phone: '' },

  onLoad() {
    this.setData({ userId: client.state().userId })
  },

  // There is no code if the user declines.
  async showPhone({ detail }) {
    if (!detail.code) return
    try {
      const { purePhoneNumber } = await client.phone(detail.code)
      this.setData({ phone: purePhoneNumber.replace(/^(\d{3})\d{4}/, '$1****') })
    } catch (error) {
      tell(error)
    }
  },

  // The phone is logged out at once; utils/client.js then opens the page for the login.
  logOut() {
    client.logout().catch(() => wx.showToast({ title: '已退出，但未能通知服务器', icon: 'none' }))
  },

  logOutEverywhere() {
    client.logout({ everywhere: true }).catch(() => wx.showToast({ title: '未能退出其他设备', icon: 'none' }))
  },

  async unbind() {
    const { confirm } = await wx.showModal({ title: '解除绑定', content: '解除后，下次登录需要重新绑定账号。' })
    if (confirm) client.unbind().catch(tell)
  }
})

function tell(error) {
  if (!leave(error)) wx.showToast({ title: textOf(error), icon: 'none' })
}

const client = require('../../utils/client.js')
const { leave, textOf } = require('../../utils/problem.js')

const ENDS = {
  allowed: { icon: 'success', title: '已允许登录', text: '请回到要登录的设备继续。' },
  denied: { icon: 'info', title: '已拒绝登录', text: '对方无法登录你的账号。' },
  no_code: { icon: 'info', title: '无法识别', text: '这不是登录二维码。' },
  unknown_device_code: { icon: 'info', title: '二维码已失效', text: '请刷新二维码，再扫一次。' },
  number_mismatch: { icon: 'warn', title: '数字不一致', text: '为了账号安全，本次登录已取消。请刷新二维码，再扫一次。' },
  forbidden: { icon: 'warn', title: '无法确认登录', text: '当前账号不能确认这次登录。' }
}

// wxmint names the browser by a list of its own, because the browser's own words could deceive whoever decides.
const NAMES = { WeChat: '微信', WeCom: '企业微信', DingTalk: '钉钉', Feishu: '飞书', HarmonyOS: '鸿蒙', 'unknown device': '未知设备' }

Page({
  data: { device: null, end: null, busy: '', problem: '' },

  onLoad(options) {
    const found = client.scanned(options)
    if (!found) return this.setData({ end: ENDS.no_code })
    this.userCode = found.userCode
    this.load()
  },

  async load() {
    this.setData({ end: null })
    try {
      this.setData({ device: shown(await client.device(this.userCode)) })
    } catch (error) {
      this.fail(error, { end: { icon: 'info', title: '无法连接', text: textOf(error), again: true } })
    }
  },

  choose({ currentTarget }) {
    this.setData({ match: currentTarget.dataset.number })
  },

  allow() {
    return this.tell('allowed', () => client.approve(this.userCode, { match: this.data.match }))
  },

  deny() {
    return this.tell('denied', () => client.deny(this.userCode))
  },

  // If the answer is lost, the buttons stay: a second try does no harm.
  async tell(answer, send) {
    this.setData({ busy: answer, problem: '' })
    try {
      await send()
      this.setData({ end: ENDS[answer] })
    } catch (error) {
      this.fail(error, { busy: '', problem: textOf(error) })
    }
  },

  // Who has to log in first comes back here. `otherwise`: for what another try may mend.
  fail(error, otherwise) {
    if (leave(error, `/pages/scan/index?scene=${this.userCode}`)) return
    const end = ENDS[error.code]
    this.setData(end ? { end } : otherwise)
  },

  close() {
    wx.reLaunch({ url: '/pages/home/home' })
  }
})

function shown({ clientName, address, userAgent, requestedAt, choices }) {
  const time = new Date(requestedAt * 1000).toTimeString().slice(0, 5)
  const system = userAgent.split(' on ').reverse().map((name) => NAMES[name] || name).join(' · ')
  return { clientName, address, time, system, choices: choices || [] }
}

const client = require('../../utils/client.js')
const { leave, proceed, textOf } = require('../../utils/problem.js')

Page({
  data: { busy: false, problem: '' },

  // The client refuses every request until a login succeeds: the user may have been unblocked since.
  async logIn() {
    this.setData({ busy: true, problem: '' })
    try {
      await client.login()
      proceed()
    } catch (error) {
      if (error.code === 'user_blocked') this.setData({ busy: false, problem: '账号仍被封禁' })
      else if (!leave(error)) this.setData({ busy: false, problem: textOf(error) })
    }
  }
})

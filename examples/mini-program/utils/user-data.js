// utils/user-data.js
const { request, failure } = require('./login.js')

const WXMINT = 'https://login.example.com'

// What WeChat seals for the server, opened there. `ask` asks WeChat for it, as () => wx.getWeRunData() does.
async function userData(ask, attempts = 2) {
  await request({ url: `${WXMINT}/wechat/session` }) // whoever has no token logs in here, before WeChat seals anything
  const { encryptedData, iv } = await ask()
  const url = `${WXMINT}/wechat/userdata`
  const answer = await request({ url, method: 'POST', data: { encryptedData, iv } })
  if (answer.statusCode === 200) return answer.data.data
  if (answer.data.code !== 'data_undecryptable' || attempts === 1) throw failure(answer)
  wx.removeStorageSync('wxmint.token') // the next request logs in, which brings a new session_key
  return userData(ask, attempts - 1)
}

module.exports = { userData }

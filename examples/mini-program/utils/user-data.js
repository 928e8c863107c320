// utils/user-data.js
const { request, failure } = require('./login.js')

const WXMINT = 'https://login.example.com'

// Has wxmint decrypt what WeChat encrypts for the server. `ask` gets it from WeChat, as () => wx.getWeRunData() does.
async function userData(ask, attempts = 2) {
  await request({ url: `${WXMINT}/wechat/session` }) // without a token, logs in here, before WeChat encrypts anything
  const { encryptedData, iv } = await ask()
  const url = `${WXMINT}/wechat/userdata`
  const answer = await request({ url, method: 'POST', data: { encryptedData, iv } })
  if (answer.statusCode === 200) return answer.data.data
  if (answer.data.code !== 'decryption_failed' || attempts === 1) throw failure(answer)
  wx.removeStorageSync('wxmint.token') // the next request logs in, which brings a new session_key
  return userData(ask, attempts - 1)
}

module.exports = { userData }

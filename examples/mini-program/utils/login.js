// utils/login.js
const LOGIN = 'https://login.example.com/login'
const KEPT = 'wxmint.token' // the name in storage
const AGAIN = ['code_invalid', 'code_used', 'wechat_unavailable', 'store_unavailable', 'accounts_unavailable']

let running = null // the login that all who ask for a token wait for
let ticket = null // of the last binding_required: stands for the WeChat user, once

// In place of wx.request, for your own services. After a 401 once again, with a new token.
async function request(options) {
  const token = await accessToken()
  const answer = await sendWith(token, options)
  if (answer.statusCode !== 401) return answer
  forget(token)
  return sendWith(await accessToken(), options)
}

// After binding_required, with { username, password } or { phone_code }. From then on the user is not asked again.
function bind(account) {
  return logIn(account, 2)
}

function accessToken() {
  const kept = wx.getStorageSync(KEPT)
  if (kept && Date.now() < kept.until) return Promise.resolve(kept.text)
  running = running || logIn(null, 2).finally(() => { running = null })
  return running
}

async function logIn(account, attempts) {
  const answer = await send({ url: LOGIN, method: 'POST', data: { ...await proof(account), ...account } })
  if (answer.statusCode === 200) return keep(answer.data)
  const { code, bind_ticket, retry_after } = answer.data
  if (code === 'binding_required') ticket = bind_ticket
  if (!AGAIN.includes(code) || attempts === 1) throw failure(answer)
  await new Promise(done => setTimeout(done, (retry_after || 0) * 1000))
  return logIn(account, attempts - 1)
}

async function proof(account) {
  if (!account || !ticket) return { code: (await wx.login().catch(error => { throw failure(error) })).code }
  const bind_ticket = ticket
  ticket = null
  return { bind_ticket }
}

function keep(answer) {
  const until = Date.now() + answer.expires_in * 900 // ms: a tenth of its life before the end
  wx.setStorageSync(KEPT, { text: answer.access_token, until })
  return answer.access_token
}

// Unless another request has replaced it already.
function forget(token) {
  if (wx.getStorageSync(KEPT).text === token) wx.removeStorageSync(KEPT)
}

function sendWith(token, options) {
  return send({ ...options, header: { ...options.header, Authorization: `Bearer ${token}` } })
}

function send(options) {
  return new Promise((success, reject) => wx.request({ ...options, success, fail: error => reject(failure(error)) }))
}

// An Error with wxmint's `code`; 'network' if nobody has answered, 'http_502' or so if somebody else has.
function failure({ statusCode, data, errMsg }) {
  const { code = statusCode ? `http_${statusCode}` : 'network', detail, retry_after, request_id } = data || {}
  return Object.assign(new Error(detail || (statusCode ? code : errMsg)), { code, retry_after, request_id })
}

module.exports = { request, bind, failure }

// utils/sale.js
const { request, failure } = require('./login.js')

const SHOP = 'https://api.example.com'
const STALE = [-15005, -15007] // WeChat: the signature is wrong, the session_key has expired

// Returns once WeChat has taken the money. Your server hears of it by a push of WeChat, and gives the goods then.
async function buy(productId, attempts = 2) {
  const answer = await request({ url: `${SHOP}/orders`, method: 'POST', data: { productId } })
  const problem = answer.statusCode === 200 ? await pay(answer.data) : failure(answer)
  if (!problem) return
  const isStale = problem.code === 'log_in_again' || STALE.includes(problem.errCode)
  if (!isStale || attempts === 1) throw problem
  wx.removeStorageSync('wxmint.token') // the next request logs in, which brings a new session_key
  await buy(productId, attempts - 1)
}

function pay(payment) {
  return new Promise(done => wx.requestVirtualPayment({ ...payment, success: () => done(), fail: done }))
}

module.exports = { buy }

// What a page does with an error of the client.

const PAGES = {
  binding_required: '/pages/bind/bind',
  user_blocked: '/pages/blocked/blocked',
  logged_out: '/pages/login/login'
}

const TEXTS = {
  offline: '网络不可用，请检查网络后重试',
  invalid_credentials: '账号或密码不正确',
  already_bound: '该账号已绑定其他微信，或当前微信已绑定其他账号',
  code_invalid: '授权已失效，请再试一次',
  code_used: '授权已失效，请再试一次'
}

const HOME = '/pages/home/home'
let next = HOME // what opens after the login

// Opens the page that the error leads to, and after that page's login `back`, by default what the user wanted before.
// Returns whether there is such a page.
function leave({ code }, back = next) {
  const url = PAGES[code]
  if (!url) return false
  next = back
  wx.reLaunch({ url })
  return true
}

function proceed() {
  wx.reLaunch({ url: next })
  next = HOME
}

// For the user. `message` is for developers.
function textOf({ code, retryAfter }) {
  if (TEXTS[code]) return TEXTS[code]
  return retryAfter ? `请在 ${retryAfter} 秒后重试` : '服务暂时不可用，请稍后重试'
}

// Logs in by `logIn`, and opens what the user wanted. Until then the page's button waits; an error stands beside it.
async function enter(page, logIn) {
  page.setData({ busy: true, problem: '' })
  try {
    await logIn()
    proceed()
  } catch (error) {
    page.setData({ busy: false, problem: leave(error) ? '' : textOf(error) })
  }
}

module.exports = { enter, leave, proceed, textOf }

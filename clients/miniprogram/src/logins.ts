import type { ClientEvent, ClientOptions, LoggedIn, Platform, State } from './api'
import { WxmintError } from './api'
import { aborted, loggedOut, offline, refusal, type Secrets } from './errors'
import { ask, ignore } from './platform'
import { devicePath, secretsOf } from './scan'
import { LOGGED_OUT, readSession, removeSession, writeSession } from './storage'

/** Of a token's life, in ms for each second: a tenth is left for the way to the service. */
const USED_FOR = 900

/** In seconds. Whoever says more, a faulty proxy or a limit of hours, is asked again after this. */
const LONGEST_WAIT = 300

/** In ms. A `wx.login` without an answer is over then: for the platform, and if that stays silent, for whoever comes later. */
const LOGIN_TIMEOUT = 10000

/** A login in flight, or an approval: a login whose token another device gets. */
export interface Login {
  account: any
  ticket?: string
  era: object
  /** Of an approval alone, as is what follows. */
  path?: string
  match?: string
  /** Sent along last. */
  token?: string
  /** When `wx.login` was asked, until it has answered. */
  asked?: number
  /** How many wait for it. An abandoned login is not sent. */
  waiting: number
  result: Promise<Granted>
  reject: (error: WxmintError) => void
  /** Set by a logout: the body of the request that ends this login's token. */
  lostTo?: object
}

export interface Granted extends LoggedIn {
  token: string
}

export type Logins = ReturnType<typeof createLogins>

/** Who is logged in on this phone, and the one login that may be in flight. */
export function createLogins(options: ClientOptions, platform: Platform) {
  const { appid, prefix = 'wxmint.', now = () => Date.now(), onEvent } = options
  if (!/^https?:\/\//i.test(options.url)) throw new Error('`url` must begin with https://')
  const url = options.url.replace(/\/+$/, '')
  const key = `${prefix}${url} ${appid || ''}`

  /** Another object after each logout. Who began before it has nothing to do with those who log in later. */
  let era = {}
  let session = readSession(platform, key)
  /** Why calls that need a token fail without a login: `logged_out`, `binding_required` or `user_blocked`. */
  let barred: WxmintError | undefined
  let running: Login | undefined
  /** An unbinding in flight. Who needs a login waits for its end: a login would bind anew who is being unbound. */
  let leaving: Promise<unknown> | undefined
  /** Ends the waiting for it, once the phone is logged out. */
  let wake = (): void => undefined
  /** How many there were. An unbinding counts as none. */
  let logouts = 0
  let ticket: string | undefined
  /** wxmint has asked to wait. `seen`: the latest time at which somebody had to. */
  let wait: { error: WxmintError; until: number; seen: number } | undefined

  if (session && !session.token) {
    session = undefined
    barred = loggedOut()
  }

  function state(): State {
    if (session && validToken()) return { status: 'logged_in', userId: session.userId }
    return { status: running ? 'logging_in' : barred ? (barred.code as State['status']) : 'none', userId: undefined }
  }

  function validToken(): string | undefined {
    return session && now() < session.until ? session.token : undefined
  }

  async function token(): Promise<string> {
    const began = era
    while (leaving && !validToken()) await leaving
    check(began)
    return validToken() || (await joined(needed(), began)).token
  }

  /** A login to wait for, by whoever has no valid token. */
  function needed(): Login {
    if (!inFlight() && barred) throw barred
    return running || begin({})
  }

  /** A login whose `wx.login` is silent is lost: nothing follows from a late answer. */
  function inFlight(): Login | undefined {
    const lost = running
    if (lost && now() - lost.asked! > LOGIN_TIMEOUT) {
      running = undefined
      lost.era = {}
      lost.reject(offline(undefined, []))
    }
    return running
  }

  /** What the login brings, unless the user has logged out since `began`. */
  async function joined(login: Login, began: object): Promise<Granted> {
    login.waiting++
    const granted = await login.result
    check(began)
    return granted
  }

  function check(began: object): void {
    if (began !== era) throw loggedOut()
  }

  /**
   * `account` is who the user is, by an account or by the kept ticket: that takes a login of its own, after the one in
   * flight. An unbinding is waited for, and what it makes the phone forget; a logout meanwhile is the end.
   */
  async function login(account?: any, byTicket?: boolean): Promise<LoggedIn> {
    const { username, phoneCode } = Object(account)
    const isOwn = byTicket || username !== undefined || phoneCode !== undefined
    const before = logouts
    for (;;) {
      while (leaving) await leaving
      if (before !== logouts) throw loggedOut()
      const began = era
      const other = inFlight()
      if (!other || !isOwn) return shown(await joined(other || begin(isOwn ? account : {}, byTicket), began))
      const granted = await joined(other, began).catch(() => check(began))
      // The second tap on a button: its code has done its work.
      if (granted && phoneCode && phoneCode === other.account.phoneCode) return shown(granted)
    }
  }

  function begin(account: any, byTicket?: boolean): Login {
    obeyWait()
    const login = { account, era, waiting: 0 } as Login
    if (byTicket) {
      login.ticket = ticket
      ticket = undefined
    }
    let resolve
    login.result = new Promise((granted, rejected) => {
      resolve = granted
      login.reject = rejected
    })
    running = login
    perform(login, [login.ticket, account.password, account.phoneCode]).then(resolve, login.reject)
    return login
  }

  /** Returns when no login and no unbinding is in flight. */
  async function idle(began: object): Promise<void> {
    let before: Promise<unknown> | undefined
    while ((before = leaving || (inFlight() && joined(running!, began)))) await before.catch(() => check(began))
    check(began)
  }

  /** Nobody's token comes of it, so that those who need one do not wait for it. */
  async function approve(userCode: string, match?: string): Promise<void> {
    await idle(era)
    if (barred) throw barred
    obeyWait()
    const path = `${devicePath(userCode)}/approve`
    await perform({ account: {}, era, waiting: 1, path, match } as Login, secretsOf(userCode))
  }

  /** The clock may be set back meanwhile; then the wait is over, because nobody knows how much of it is left. */
  function obeyWait(): void {
    const time = now()
    if (wait && wait.seen <= time && time < wait.until) {
      wait.seen = time
      throw wait.error
    }
    wait = undefined
  }

  async function perform(login: Login, secrets: Secrets): Promise<any> {
    let answer
    try {
      answer = await attempt(login, secrets, login.ticket)
      const unwelcome = login.token && answer.statusCode === 401
      if (unwelcome || /^code_(invalid|used)$/.test(refusal(answer, secrets).code)) {
        checkWanted(login)
        answer = await attempt(login, secrets)
      }
    } finally {
      leave(login)
    }
    // Nothing waits from here on: whoever is told of it finds everything in its place.
    const data = Object(answer.data)
    if (login.path && answer.statusCode === 204) return
    const granted = !login.path && answer.statusCode === 200 && isGrant(data)
    if (granted && !login.lostTo) return keep(data)
    if (granted) ignore(tell(data.access_token, login.lostTo!))
    secrets.push(data.bind_ticket)
    const error = refusal(answer, secrets)
    noteWait(error)
    if (login.era === era) bar(error, data.bind_ticket)
    throw error
  }

  /** Sends a ticket or a new code, once. An approval says too who is logged in, if anybody is. */
  async function attempt(login: Login, secrets: Secrets, ticket?: string): Promise<any> {
    const { username, password, phoneCode } = login.account
    const body: any = {
      code: ticket ? undefined : await newCode(login, secrets),
      bind_ticket: ticket,
      appid,
      platform: platform.wxmintPlatform,
      username,
      password,
      phone_code: phoneCode,
      match: login.match,
    }
    for (const name of Object.keys(body)) if (body[name] === undefined) delete body[name]
    const { path = '/login' } = login
    const token = (login.token = login.path && validToken())
    secrets.push(token)
    const answer = Object(await post(path, body, secrets, token))
    if (token && answer.statusCode === 401) refused(token)
    return answer
  }

  /** Of `wx.login`. */
  async function newCode(login: Login, secrets: Secrets): Promise<string> {
    login.asked = now()
    const answer = await ask(platform, 'login', { timeout: LOGIN_TIMEOUT }, secrets)
    login.asked = undefined
    checkWanted(login)
    const { code } = Object(answer)
    if (typeof code !== 'string' || !code) throw offline(answer, secrets)
    secrets.push(code)
    return code
  }

  /** A login that was lost to a logout, or that nobody waits for any more, sends nothing further. */
  function checkWanted(login: Login): void {
    check(login.era)
    if (login.waiting) return
    leave(login)
    throw aborted()
  }

  function leave(login: Login): void {
    if (running === login) running = undefined
  }

  function keep(data: any): Granted {
    const { access_token: token, user_id: userId } = data
    const newUser = data.new_user === true
    session = { token, until: now() + data.expires_in * USED_FOR, userId }
    barred = ticket = undefined
    writeSession(platform, key, session)
    emit({ type: 'login', userId, newUser })
    return { token, userId, newUser }
  }

  function noteWait(error: WxmintError): void {
    const { status, retryAfter } = error
    const seen = now()
    if (retryAfter && (status === 429 || status === 503)) {
      wait = { error, seen, until: seen + Math.min(retryAfter, LONGEST_WAIT) * 1000 }
    }
  }

  /** Two refusals are final: another login would end the same way until the user has said who he is, or is let in again. */
  function bar(error: WxmintError, newTicket: any): void {
    const asksWho = error.code === 'binding_required'
    if (!asksWho && error.code !== 'user_blocked') return
    barred = error
    drop()
    if (!asksWho) return
    ticket = newTicket
    emit({ type: 'binding_required', error })
  }

  function drop(): void {
    if (session) removeSession(platform, key)
    session = undefined
  }

  /** A service has answered 401 to this token. */
  function refused(token: string): void {
    if (!session || session.token !== token) return
    const { userId } = session
    drop()
    emit({ type: 'ended', userId })
  }

  async function unbind(again = true): Promise<void> {
    const began = era
    let used: string
    do {
      await idle(began)
      used = validToken() || (await joined(needed(), began)).token
      // Whoever has waited for the same login may have begun another one.
    } while (leaving || inFlight())
    const over = () => {
      if (began === era) leaving = undefined
    }
    const end = async (answer: any): Promise<void> => {
      over()
      const { statusCode } = Object(answer)
      if (statusCode === 401) {
        check(began)
        refused(used)
        if (again) return unbind(false)
      }
      if (statusCode !== 204) throw refusal(answer, [used])
      // Unless another user has logged in meanwhile.
      if (began === era) forget({})
    }
    const ended = post('/binding', undefined, [used], used, 'DELETE').then(end, (error) => {
      over()
      throw error
    })
    leaving = new Promise<void>((resolve) => {
      wake = resolve
      ended.then(resolve, resolve)
    })
    return ended
  }

  async function logout(everywhere: boolean): Promise<void> {
    const ended = session
    const body = everywhere ? { everywhere } : {}
    logouts++
    // Where this token says `everywhere`, the one of a lost login need not: it comes late, and would end what came since.
    forget(ended ? {} : body)
    if (ended) return tell(ended.token, body)
    // There is no token to say it with.
    if (everywhere) throw loggedOut()
  }

  /** The phone is logged out. A login in flight is lost: `body` ends its token when it comes. */
  function forget(body: object): void {
    const isNew = state().status !== 'logged_out'
    const lost = running
    era = {}
    barred = loggedOut()
    running = session = ticket = leaving = undefined
    wake()
    writeSession(platform, key, LOGGED_OUT)
    if (lost) {
      lost.lostTo = body
      lost.reject(barred)
    }
    if (isNew) emit({ type: 'logout' })
  }

  /** Tells wxmint that a token is to end. */
  async function tell(token: string, body: { everywhere?: boolean }): Promise<void> {
    const answer = await post('/logout', body, [token], token)
    const { statusCode } = Object(answer)
    // A 401 says that this token was ended before, and that no other was ended now.
    if (statusCode !== 204 && (statusCode !== 401 || body.everywhere)) throw refusal(answer, [token])
  }

  function post(path: string, data: any, secrets: Secrets, token?: string, method = 'POST'): Promise<any> {
    const header: any = { 'content-type': 'application/json' }
    if (token) header.Authorization = `Bearer ${token}`
    return ask(platform, 'request', { url: url + path, method, data, header }, secrets)
  }

  function emit(event: ClientEvent): void {
    try {
      if (onEvent) ignore(onEvent(event))
    } catch (theirs) {
      // A mistake of the page must not fail a login.
    }
  }

  return {
    url,
    currentEra: () => era,
    state,
    validToken,
    token,
    needed,
    joined,
    check,
    login,
    approve,
    bind: (account: any) => login(Object(account), true),
    refused,
    logout,
    unbind,
    unbinding: () => leaving,
  }
}

function isGrant(data: any): boolean {
  const { access_token: token, expires_in: life, user_id: user } = data
  return !!token && typeof token === 'string' && typeof life === 'number' && typeof user === 'string'
}

function shown({ userId, newUser }: Granted): LoggedIn {
  return { userId, newUser }
}

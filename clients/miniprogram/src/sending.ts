import type { Platform, WxmintError } from './api'
import { OFFLINE, aborted, type Secrets } from './errors'
import type { Logins } from './logins'
import { ask, ignore, type Transfer } from './platform'

/** How a service is shown the token, and how it says that it has refused it. */
export interface Recipient {
  header: (token: string) => { [name: string]: string }
  refused: (answer: any) => boolean
}

/** wxmint itself, and whoever does as RFC 6750 says. */
export const BEARER: Recipient = {
  header: (token) => ({ Authorization: `Bearer ${token}` }),
  refused: (answer) => statusOf(answer) === 401,
}

/** Options that are not the platform's, or that the promise stands for. */
const NOT_SENT = ['auth', 'retry', 'onTask', 'complete']

/** Sends a request with the token it needs: twice at most. `secrets` gets what has been sent. */
export function send(
  platform: Platform,
  logins: Logins,
  recipient: Recipient,
  transfer: Transfer,
  options: any,
  secrets: Secrets = [],
): Promise<any> {
  const { auth, retry, method = 'GET', onTask } = options
  const began = logins.currentEra()
  const listeners: any[] = []
  /** The platform's, of what has been sent last. */
  let task: any = {}
  let over = false
  let fail = (_: WxmintError): void => undefined
  /** Stops waiting for a login. */
  let leave = (): void => undefined

  function abort(): void {
    if (over) return
    over = true
    fail(aborted())
    leave()
    abortTask()
  }

  function abortTask(): void {
    if (task.abort) ignore(task.abort())
  }

  function listen(listener: any): void {
    if (task.onProgressUpdate) task.onProgressUpdate(listener)
  }

  function onProgressUpdate(listener: any): void {
    listeners.push(listener)
    listen(listener)
  }

  async function perform(): Promise<any> {
    try {
      const found = findToken()
      const token = typeof found === 'object' ? await found : found
      try {
        const { answer, isRefused } = await attempt(token)
        if (!isRefused) return answer
      } catch (error) {
        if (!mayRepeat(error)) throw error
      }
      // The second answer is the caller's, whatever it is.
      return (await attempt(token && (await findToken()))).answer
    } finally {
      over = true
    }
  }

  /** The token to send, if any: at once unless it takes a login. */
  function findToken(): string | undefined | Promise<string> {
    checkWanted()
    const token = auth === 'none' ? undefined : logins.validToken()
    return token || auth === 'none' || auth === 'optional' ? token : tokenOfLogin()
  }

  async function tokenOfLogin(): Promise<string> {
    const leaving = logins.unbinding()
    if (leaving) {
      await leaving
      return findToken() as Promise<string>
    }
    const login = logins.needed()
    leave = () => {
      login.waiting--
    }
    const { token } = await logins.joined(login, began)
    leave = () => undefined
    return token
  }

  async function attempt(token: string | undefined): Promise<{ answer: any; isRefused: boolean }> {
    checkWanted(token)
    secrets.push(token)
    const answer = await ask(platform, transfer, sent(token), secrets, started)
    task = {}
    const isRefused = !!token && recipient.refused(answer)
    if (token && isRefused) {
      logins.check(began)
      logins.refused(token)
    }
    return { answer, isRefused }
  }

  /** Nothing more is sent after an abort, nor with a token after the user has logged out. */
  function checkWanted(token?: string): void {
    if (over) throw aborted()
    if (token) logins.check(began)
  }

  function sent(token: string | undefined): object {
    const header = Object.assign({}, options.header)
    if (token) {
      const ours = recipient.header(token)
      const names = Object.keys(ours).map((name) => name.toLowerCase())
      for (const name of Object.keys(header)) if (names.indexOf(name.toLowerCase()) >= 0) delete header[name]
      Object.assign(header, ours)
    }
    const sent: any = Object.assign({}, options, { header })
    for (const name of NOT_SENT) delete sent[name]
    return sent
  }

  function started(newTask: any): void {
    task = newTask
    if (over) abortTask()
    listeners.forEach(listen)
  }

  /** A request without an answer may have been executed, so that only harmless ones are repeated. */
  function mayRepeat(error: any): boolean {
    return error.code === OFFLINE && retry === true && transfer === 'request' && /^(GET|HEAD)$/i.test(method)
  }

  if (onTask) onTask(transfer === 'request' ? { abort } : { abort, onProgressUpdate })
  return new Promise((resolve, reject) => {
    fail = reject
    perform().then(resolve, reject)
  })
}

function statusOf(answer: any): unknown {
  return Object(answer).statusCode
}

import { WxmintError } from './api'

export const OFFLINE = 'offline'

/** A shorter text is found anywhere by chance. */
const SHORTEST_SECRET = 4
/** Of an object that is searched for secrets. What lies deeper is not handed on. */
const DEEPEST = 5

/** Texts that no error may contain. */
export type Secrets = unknown[]

export const loggedOut = () => new WxmintError('logged_out', 'The user has logged out.')

export const aborted = () => new WxmintError('aborted', 'The request has been aborted.')

/** Nobody has answered. `cause` is what the platform's `fail` got; some platforms put the whole request into it. */
export function offline(cause: any, secrets: Secrets): WxmintError {
  const said = ['errMsg', 'message'].map((name) => !holds(cause, secrets, 0, name) && cause[name])
  const message = said.find((text) => text && typeof text === 'string') || 'There was no answer.'
  return new WxmintError(OFFLINE, message, { cause: withoutSecrets(cause, secrets) })
}

/** wxmint's refusal, or `unavailable` if wxmint did not give this answer. */
export function refusal(answer: any, secrets: Secrets): WxmintError {
  const { statusCode: status, data } = Object(answer)
  const { code, detail, request_id } = Object(data)
  const ours = status >= 400 && typeof code === 'string' && /^[a-z_]+$/.test(code)
  const told = ours ? code : `Status ${status}, not from wxmint.`
  const message = ours && detail && typeof detail === 'string' && !holds(detail, secrets) ? detail : told
  const requestId = ours && typeof request_id === 'string' ? request_id : headerOf(answer, 'x-request-id')
  return new WxmintError(ours ? code : 'unavailable', message, { status, retryAfter: retryAfter(answer), requestId })
}

/** Seconds. A date in place of them is no wait, because the phone's clock may be wrong. */
function retryAfter(answer: any): number | undefined {
  const said = parseFloat(headerOf(answer, 'retry-after') || Object(Object(answer).data).retry_after)
  return said >= 0 ? said : undefined
}

function headerOf(answer: any, wanted: string): any {
  const header = Object(Object(answer).header)
  for (const name of Object.keys(header)) {
    if (name.toLowerCase() === wanted) return String(header[name])
  }
  return undefined
}

/** The cause itself if it holds no secret, otherwise those of its members that are plain values and hold none. */
function withoutSecrets(cause: any, secrets: Secrets): unknown {
  if (!holds(cause, secrets, DEEPEST)) return cause
  if (typeof cause !== 'object') return undefined
  const kept: any = {}
  for (const name of Reflect.ownKeys(cause)) {
    if (!holds(name, secrets) && !holds(cause, secrets, 0, name)) kept[name] = cause[name]
  }
  return kept
}

/**
 * Whether a value, or its member of that name, shows one of the texts, also as JSON would write it. What keeps more than
 * can be listed, such as a function, a `Map` or an object of a class, counts as if it did.
 */
function holds(value: any, secrets: Secrets, depth = 0, member?: PropertyKey): boolean {
  try {
    if (member !== undefined) value = value[member]
    if (typeof value === 'string') return secrets.some((secret) => shows(value, secret))
    if (typeof value === 'function') return true
    if (typeof value !== 'object' || !value) return false
    return (
      !depth ||
      !isOpen(value) ||
      Reflect.ownKeys(value).some((name) => holds(name, secrets) || holds(value, secrets, depth - 1, name))
    )
  } catch (unreadable) {
    return true
  }
}

/** Whether all that a value tells is in members of its own: a plain object's, of whatever realm, a list's or an error's. */
function isOpen(value: object): boolean {
  const kind = Object.getPrototypeOf(value)
  const isPlain = !kind || !Object.getPrototypeOf(kind)
  return isPlain || Array.isArray(value) || kind === Error.prototype || kind === TypeError.prototype
}

function shows(text: string, secret: unknown): boolean {
  const plain = secret == null ? '' : String(secret)
  return plain.length >= SHORTEST_SECRET && (text.includes(plain) || text.includes(JSON.stringify(plain).slice(1, -1)))
}

import type { Device, Scanned, ScanOptions } from './api'
import type { Secrets } from './errors'

/** What another device shows: RFC 8628, section 6.1. */
const USER_CODE = /^[BCDFGHJKLMNPQRSTVWXZ]{8}$/i

/** Finds the user code in what WeChat gives to `onLoad`: in a mini-program code's `scene`, or in the URL of a QR code. */
export function scanned(options?: ScanOptions): Scanned | null {
  const { scene, q } = Object(options)
  const [, inUrl] = /[?&]user_code=([^&#]*)/.exec(decoded(q)) || []
  return asUserCode(scene) || asUserCode(inUrl)
}

function asUserCode(text: unknown): Scanned | null {
  const plain = decoded(text).replace(/[\s-]/g, '')
  return USER_CODE.test(plain) ? { userCode: plain.toUpperCase() } : null
}

function decoded(text: unknown): string {
  try {
    return typeof text === 'string' ? decodeURIComponent(text) : ''
  } catch (malformed) {
    return ''
  }
}

export function devicePath(userCode: string): string {
  return `/device/${encodeURIComponent(userCode)}`
}

/** The code as it was given, and as the URL has it. */
export function secretsOf(userCode: string): Secrets {
  return [userCode, devicePath(userCode)]
}

/** What wxmint tells of a device, or `false` if this is not wxmint's answer. */
export function deviceOf(data: any, status: number): Device | false {
  const { client_id: clientId, client_name: clientName, address, choices } = data
  const { user_agent: userAgent, requested_at: requestedAt, expires_in: expiresIn } = data
  const device: Device = { clientId, clientName, address, userAgent, requestedAt, expiresIn }
  if (choices) device.choices = choices
  return status === 200 && typeof clientId === 'string' && device
}

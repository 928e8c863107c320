import type { Platform } from './api'

export interface Session {
  token: string
  /** By the phone's clock. */
  until: number
  userId: string
}

/** In the place of a session: the user has logged out. Kept, so that a restart does not log in. */
export const LOGGED_OUT: Session = { token: '', until: 0, userId: '' }

/** What a client has written. Anything else in this place counts as nothing. */
export function readSession(platform: Platform, key: string): Session | undefined {
  try {
    const [token, until, userId] = JSON.parse(platform.getStorageSync(key))
    if (typeof token === 'string' && typeof until === 'number' && typeof userId === 'string')
      return { token, until, userId }
  } catch (foreign) {
    // Not ours.
  }
  return undefined
}

/** If storage throws, what has been written does not outlive the mini program. */
export function writeSession(platform: Platform, key: string, session: Session): void {
  const write = () => platform.setStorageSync(key, JSON.stringify([session.token, session.until, session.userId]))
  try {
    write()
  } catch (full) {
    // An older token must not come back after a restart, and what took its place has room now.
    removeSession(platform, key)
    try {
      write()
    } catch (still) {
      // Memory serves.
    }
  }
}

export function removeSession(platform: Platform, key: string): void {
  try {
    platform.removeStorageSync(key)
  } catch (broken) {
    // Memory serves.
  }
}

import type { Platform } from './api'
import { offline, type Secrets } from './errors'

export type Asked = 'login' | Transfer
export type Transfer = 'request' | 'uploadFile' | 'downloadFile'

/** Some functions of a platform return a promise beside calling back, and so may `onEvent`. Nobody waits for it. */
export function ignore(result: any): void {
  Promise.resolve(result).catch(() => undefined)
}

/** What a function of the platform gives to `success`. `onTask` gets what it returned. */
export function ask(
  platform: Platform,
  name: Asked,
  options: object,
  secrets: Secrets,
  onTask?: (task: any) => void,
): Promise<any> {
  const answer = new Promise((success, fail) => {
    const task = (platform as any)[name](Object.assign({}, options, { success, fail }))
    ignore(task)
    if (onTask) onTask(Object(task))
  })
  return answer.catch((cause) => {
    throw offline(cause, secrets)
  })
}

import type { Client, ClientOptions, Platform } from './api'
import { refusal, type Secrets } from './errors'
import { createLogins } from './logins'
import type { Transfer } from './platform'
import { deviceOf, devicePath, scanned, secretsOf } from './scan'
import { BEARER, send } from './sending'

export { WxmintError } from './api'
export type * from './api'

declare const wx: Platform

/** A client of one wxmint, for one mini program. It can be made before `App()`. */
export function createClient(options: ClientOptions): Client {
  const { platform = wx } = options
  const logins = createLogins(options, platform)
  const { header = BEARER.header, refused = BEARER.refused } = options
  const transfer = (how: Transfer, given: any) => send(platform, logins, { header, refused }, how, given)

  /** Asks wxmint. `read` finds in its answer what was asked for; where there is nothing of it, the answer is a refusal. */
  const ask = async (
    method: string,
    path: string,
    data: any,
    read: (data: any, status: number) => any,
    secrets: Secrets = [Object(data).code],
  ) => {
    const header = { 'content-type': 'application/json' }
    const given = { url: logins.url + path, method, data, header }
    const answer = Object(await send(platform, logins, BEARER, 'request', given, secrets))
    const found = read(Object(answer.data), answer.statusCode)
    if (!found) throw refusal(answer, secrets)
    return found
  }
  const done = (_: any, status: number) => status === 204

  return {
    request: (given) => transfer('request', given),
    upload: (given) => transfer('uploadFile', given),
    download: (given) => transfer('downloadFile', given),
    token: () => logins.token(),
    login: (account) => logins.login(account),
    bind: (account) => logins.bind(account),
    logout: (how) => logins.logout(!!Object(how).everywhere),
    unbind: () => logins.unbind(),
    userData: (sealed) =>
      ask(
        'POST',
        '/wechat/userdata',
        sealedPart(Object(sealed)),
        ({ data }, status) => status === 200 && Object(data) === data && data,
      ),
    phone: (code) => ask('POST', '/wechat/phone', { code }, phoneNumber),
    session: {
      valid: async () =>
        (await ask('GET', '/wechat/session', undefined, ({ valid }) => typeof valid === 'boolean' && [valid]))[0],
      reset: async () => {
        await ask('POST', '/wechat/session/reset', undefined, done)
      },
    },
    scanned,
    device: (userCode) => ask('GET', devicePath(userCode), undefined, deviceOf, secretsOf(userCode)),
    approve: (userCode, answer) => logins.approve(userCode, Object(answer).match),
    deny: async (userCode) => {
      await ask('POST', `${devicePath(userCode)}/deny`, undefined, done, secretsOf(userCode))
    },
    state: () => logins.state(),
  }
}

/** Without what else the platform has given, such as `errMsg`. */
function sealedPart({ encryptedData, iv, rawData, signature }: any): object {
  return encryptedData ? { encryptedData, iv } : { rawData, signature }
}

function phoneNumber({ phoneNumber, purePhoneNumber, countryCode }: any): any {
  return typeof phoneNumber === 'string' && { phoneNumber, purePhoneNumber, countryCode }
}

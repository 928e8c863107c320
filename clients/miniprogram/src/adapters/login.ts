import type { Platform } from '../api'

/** A platform whose functions are as `wx` has them, and whose `login` gives `code`. `name` is that of its global object. */
export function likeWx(platform: Platform, name: string): Platform {
  return withLogin(platform, (options) =>
    platform.login(withCode(options, `${name}.login:fail the answer has no code`)),
  )
}

/** The platform with another `login`. */
export function withLogin(platform: Platform, login: (options: any) => any): Platform {
  return {
    login,
    request: (options) => platform.request(options),
    uploadFile: (options) => platform.uploadFile!(options),
    downloadFile: (options) => platform.downloadFile!(options),
    getStorageSync: (key) => platform.getStorageSync(key),
    setStorageSync: (key, data) => platform.setStorageSync(key, data),
    removeStorageSync: (key) => platform.removeStorageSync(key),
  }
}

/**
 * The options of a login whose answer counts only if it has a code. The client gets the code alone, because some
 * platforms add what must not be sent, such as `anonymousCode`. Without a code it gets `errMsg`, as a failure.
 */
export function withCode(options: any, errMsg: string, codeOf = ({ code }: any): unknown => code): any {
  const success = (answer: any): void => {
    const code = codeOf(Object(answer))
    if (code && typeof code === 'string') options.success({ code, errMsg: 'login:ok' })
    else options.fail({ errMsg })
  }
  return Object.assign({}, options, { success })
}

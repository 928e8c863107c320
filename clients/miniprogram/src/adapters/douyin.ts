import type { Platform } from '../api'
import { withCode, withLogin } from './login'

export interface DouyinOptions {
  /**
   * Whether `tt.login` may ask the user to log in to Douyin; `true` by default. With `false`, a login fails if the user
   * is not logged in to Douyin.
   */
  force?: boolean
}

const NO_CODE = 'tt.login:fail the user is not logged in to Douyin, and an anonymousCode identifies nobody'

/** The platform of a mini program or mini game of Douyin, from its global object `tt`. */
export function douyin(tt: Platform, options: DouyinOptions = {}): Platform {
  const { force = true } = options
  const codeOf = ({ code, isLogin }: any): unknown => isLogin !== false && code
  return withLogin(tt, (given) => tt.login(withCode(Object.assign({}, given, { force }), NO_CODE, codeOf)))
}

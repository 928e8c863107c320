import type { Platform } from '../api'
import { withCode, withLogin } from './login'

/** `wx` of a mini program that runs in WeCom. */
export interface WeComGlobal extends Platform {
  qy?: { login(options: any): any }
}

const NOT_WECOM =
  '`wx.qy` is missing, because this mini program does not run in WeCom. ' +
  "Call `wecom(wx)` only if `wx.getSystemInfoSync().environment === 'wxwork'`."
const NO_CODE = 'wx.qy.login:fail the answer has no code'

/**
 * The platform of a mini program in WeCom, from its global object `wx`. It throws elsewhere: `wx.login` would give a code
 * of WeChat, which is another person's identity.
 */
export function wecom(wx: WeComGlobal): Platform {
  const { qy } = wx
  if (!qy) throw new Error(NOT_WECOM)
  const platform = withLogin(wx, (options) => qy.login(withCode(options, NO_CODE)))
  // A mini program has the same AppID in WeChat and in WeCom.
  platform.wxmintPlatform = 'wecom'
  return platform
}

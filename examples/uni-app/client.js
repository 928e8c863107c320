// The one client of all pages. Put the address of your wxmint and the ids of your apps here.

import { createClient } from 'wxmint-miniprogram'
// #ifdef MP-WEIXIN
import { wecom } from 'wxmint-miniprogram/wecom'
// #endif

let platform = uni
let appid

// #ifdef MP-WEIXIN
appid = 'wx0123456789abcdef'
// The same program runs in WeCom, where uni.login would log in the WeChat user.
if (wx.getSystemInfoSync().environment === 'wxwork') platform = wecom(wx)
// #endif
// #ifdef MP-ALIPAY
appid = '2021000000000001'
// #endif
// #ifdef MP-TOUTIAO
appid = 'tt0123456789abcdef'
// #endif
// #ifdef MP-QQ
appid = '1100000001'
// #endif
// #ifdef MP-KUAISHOU
appid = 'ks600000000000000001'
// #endif
// #ifdef MP-XHS
appid = '0123456789abcdef01234567'
// #endif

export const client = createClient({ url: 'https://login.example.com', appid, platform })

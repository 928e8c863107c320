// 登录图上每一步的中文说明。

export const steps = {
  phoneCode: {
    label: "getPhoneNumber → phone_code",
    note: "真机上要点一个专门的按钮，由微信问本人是否同意。同意后小程序拿到一次性的 code，不是号码。这里由本页向模拟器要。",
  },
  code: {
    label: "wx.login → code",
    note: "真机上，wx.login 向微信要一个一次性的 code；这里由本页向模拟器要。code 五分钟内有效，只能换取一次。",
  },
  post: {
    label: "POST /login",
    note: "小程序交出 code。appid 说明是两个小程序中的哪一个；真机上由微信加的 Referer 说明。响应见下面。",
    password: "账号和密码一同带上，只此一次。密码由本页打了码。",
    phone: "phone_code 一同带上，只此一次。",
    ticket: "code 已经用掉，由上次响应给的 bind_ticket 代替。五分钟内有效，只能试一次。响应见下面。",
  },
  claim: {
    label: "占用 code",
    note: "wxmint 把 code 的哈希写进存储，已有则不写，一个来回。同一个 code 无论发来多少份、落到哪个副本，只有一份能往下走。",
    refused: "这个 code 已被占用，到此为止。模拟器的流水里没有再出现它：没有去问微信。",
  },
  ticket: {
    label: "取走 bind_ticket",
    note: "wxmint 把它从存储里取走：不论对错，只能用一次。里面记着是哪个微信，所以不用再问微信。",
    refused: "存储里已经没有它：用过了，或者超过五分钟。",
  },
  session: {
    label: "code2Session",
    note: "取自微信模拟器的流水。AppSecret 和 session_key 在交给本页之前就已被模拟器打码。微信不论成功还是出错，一律返回 200、text/plain。",
    skipped: "模拟器的流水里没有这个 code：没有去问微信。",
    slow: "模拟器故意等 50 毫秒再响应，好让人看见这段等待。",
  },
  record: {
    label: "加密 session_key · openid → 用户 ID",
    note: "一步完成，不可拆分：session_key 用 AES-256-GCM 加密后存入，只有 wxmint 能解密；再按 openid 找用户 ID。",
    nobody: "这个 openid 还没有绑定任何用户。wxmint 在存储里放一个 bind_ticket，请小程序询问是谁。",
    unionid: "这个 openid 是第一次来，但微信给的 unionid 在另一个小程序里见过：直接绑定到同一个用户，不再询问。",
    skipped: "没有东西可存：微信没给 session_key，也没给 openid。",
  },
  number: {
    label: "getuserphonenumber",
    note: "取自微信模拟器的流水：交出 phone_code，换回微信核实过的号码。",
    token: "问号码要用微信的 access_token。wxmint 手里还没有，先取一个（stable_token）：所有副本共用，加密保存在存储里，到期前就更新。只用 code 登录时用不着它。",
    skipped: "没有去问微信号码。",
  },
  account: {
    label: { password: "核对密码", phone: "这是谁的手机号" },
    note: {
      password: "取自账号服务的流水，密码在那里已打码。wxmint 不保存密码。",
      phone: "取自账号服务的流水：按号码找到用户，没有就新建，并说明是不是新的。",
    },
    signed: "请求还带着一个短时有效的 JWT，由 wxmint 用自己的私钥签名，用 JWKS 就能验证；流水里不记请求头。",
    refused: "它的回答是没有这个人。账号不存在和密码不对，响应是一样的。",
    skipped: "没有去问账号服务。",
  },
  bind: {
    label: "绑定 openid → 用户 ID",
    note: "存储里从此记着这个微信是哪个用户，以后只要 wx.login。每一步都可以重做，中途崩溃也不会丢失绑定。",
    refused: "拒绝：这个微信已是别的用户的，或者这个用户已绑了别的微信。什么都没有改。",
    skipped: "没有用户可绑。",
  },
  answer: { label: "200 token" },
  verify: {
    label: "取 JWKS，自行验证",
    note: "你的服务取一次公钥并保存，此后自行验证每个 token，不再请求 wxmint。这里由本页代替那个服务，逐项检查见“token”页。",
    skipped: "没有 token 可以验证。",
  },
  unbind: {
    label: "DELETE /binding",
    note: "小程序只交出 token；wxmint 像任何服务一样验证它。",
  },
  dissolve: {
    label: "解除绑定",
    note: "绑定和 session_key 从存储里删去。即使 unionid 已知，也不会自行恢复绑定：下次登录会再问。",
    skipped: "什么也没有解除。",
  },
  unbound: { label: "204 完成" },
};

// What the page says, in both languages, and how it writes times and makes elements.

const en = {
  title: "wxmint console", language: "中文", themeLabel: "Dark colours", leave: "Sign out", enter: "Sign in", secret: "Secret", api: "API",
  doorLead: "For the person on duty: find a user, revoke tokens or block, and see what wxmint is doing.",
  doorNote: "A secret of the file of WXMINT_ADMIN_TOKENS_FILE, with the right read; to act, also operate. It stays in the memory of this page alone, and is forgotten when you sign out, leave or reload the page, or do nothing for 15 minutes.",
  left: { left: "You are signed out.", idle: "Signed out, because nothing was done here for 15 minutes.", refused: "This secret is not valid, or not any more: no line of the file has it." },
  ready: "ready", readyBut: "ready, with a warning", loginsFail: "ready, but logins fail: Redis does not answer", notReady: "not ready",
  standing: (version, name, rights) => `wxmint ${version} · ${name} (${rights.join(", ")})`,
  findHeading: "A user", sought: "User id (the sub of tokens), openid or unionid", find: "Find",
  knownBy: { user_id: () => "user id", unionid: () => "unionid", openid: (app) => `openid in ${app}:` },
  blocked: "blocked", notBlocked: "not blocked", lastLogin: "Last login", endedBefore: "Tokens revoked up to", none: "none", boundAt: "Bound at",
  unknown: "Nobody is known by this text: wxmint has seen no such user id, openid or unionid. If it is the request id that a phone shows, search the audit log of all processes for it. To block a user of your own system before the first login: wxmint users block ID.",
  bindings: (count) => (count ? `Bindings (${count})` : "No binding"), readOnly: "This secret may only look: its line lacks the right operate.", cancel: "Cancel",
  acts: {
    end: { button: "Revoke all tokens", asks: "Revoke all tokens of this user?", done: "Revoked all tokens of", says: "wxmint refuses every token issued until now at once, and verifiers that follow the feed within 10 s. The user can log in again." },
    block: { button: "Block", asks: "Block this user?", done: "Blocked:", says: "Revokes all tokens for good, and refuses the user's logins until somebody lifts the block." },
    unblock: { button: "Lift the block", asks: "Lift the block of this user?", done: "Lifted the block of", says: "The user can log in again. Revoked tokens stay revoked." },
    dissolve: { button: "Dissolve", asks: "Dissolve a binding of this user?", done: "Dissolved the binding of", says: (app) => `Unbinds the WeChat identity in ${app} and revokes the user's tokens there. The next login asks who it is; under WXMINT_ACCOUNTS=auto it is a new user. This cannot be taken back here.` },
  },
  problems: {
    other: "wxmint refused this.", unreachable: "wxmint does not answer. Look whether the port-forward still runs and the process is up, then try again.",
    forbidden: "This secret lacks the right.",
    store_unavailable: "Redis does not answer, so it is not certain what was done. An act may be repeated: try again in a moment, and look at the doctor.",
    store_unavailable_read: "Redis does not answer, so nothing could be looked up. Looking changes nothing: try again in a moment, and look at the doctor.",
    invalid_request: "This cannot be an id.", internal_error: "wxmint failed; the log has the request id.", dots: "A URL cannot name this user. Use the command: wxmint users show, end, block.",
  },
  loginsHeading: "Logins of the last hour", outcome: "Outcome", lastTen: "10 min", lastHour: "1 h", noLogins: "None.",
  whoseLogins: "Whose logins", allApps: "All apps", kinds: { official_account: "official account", website: "website", mobile_app: "mobile app" }, ofKind: (app, kind) => `${app} (${kind})`, appLogins: (app, ok, refused) => `${app}: ${ok} ok, ${refused} refused`,
  counted: (at) => `Counted by this process since ${at}. If wxmint runs in several processes, each counts the logins that it answers. Each bar is a minute.`, chart: (ok, refused) => `${ok} logins and ${refused} refusals`,
  outcomes: {
    ok: "logged in", rate_limited: "a limit was reached", binding_required: "asked for a password", invalid_credentials: "wrong name or password", user_blocked: "blocked or disabled",
    already_bound: "bound to another", code_invalid: "WeChat knows no such code", code_used: "the code came twice", unknown_app: "AppID not configured", app_required: "several apps, none named", snapshot_user: "the virtual person of a snapshot page", unionid_missing: "new, and WeChat names no unionid", unionid_changed: "WeChat names another unionid than before", permission_missing: "the merchant has not given the permission", phone_quota_exhausted: "WeChat verifies no more phone numbers", session_key_missing: "no session key that WeChat accepts", invalid_token: "the token is not valid", forbidden: "no right to this", invalid_request: "malformed", credentials_in_query: "password in the URL",
    wechat_misconfigured: "WeChat refuses AppID or AppSecret: see the doctor", wechat_unavailable: "WeChat does not answer", platform_misconfigured: "another platform refuses AppID or secret: see the doctor", platform_unavailable: "another platform does not answer", store_unavailable: "Redis does not answer", accounts_unavailable: "the account service does not answer", internal_error: "a defect: see the log",
  },
  keysHeading: "Signing keys", nextHeading: "What comes next", begins: "this key signs:", leaves: "this key leaves the JWKS:", within: (wait) => `In ${wait}`,
  noNext: "No further key is published. The next rotation publishes one: wxmint keys rotate.", states: { published: "published", signing: "signs", retired: "retired" }, legend: "Solid: the key signs. Pale: it stays in the JWKS for tokens that it signed. The line is now.",
  life: (state, age, left) => `${{ published: `Begins to sign in ${age}`, signing: `Has signed for ${age}`, retired: `Signed first ${age} ago` }[state]}${left ? `; leaves the JWKS in ${left}` : ""}`,
  doctorHeading: "What the doctor says", examine: "Examine again", examining: "Examining: up to 15 s…", statuses: { ok: "ok", warning: "warning", fault: "fault" },
  examined: (at, bad) => `Examined at ${at}. ${bad ? `${bad} to look at.` : "Nothing to mend."}`, allOk: (count) => `${count} are ok`, inChinese: false,
  number: (value) => value.toLocaleString("en"), units: [" d", " h", " min", " s"],
};

const zh = {
  title: "wxmint 控制台", language: "English", themeLabel: "深色", leave: "退出", enter: "登录", secret: "访问密钥", api: "接口文档",
  doorLead: "供值班人员使用：查找用户，吊销 token 或封禁用户，并查看 wxmint 的运行情况。",
  doorNote: "填写 WXMINT_ADMIN_TOKENS_FILE 文件中的一个访问密钥，需有 read 权限；要执行操作，还需 operate 权限。访问密钥只保存在本页的内存中；退出、离开或刷新页面，或 15 分钟没有操作，都会清除。",
  left: { left: "已退出。", idle: "15 分钟没有操作，已自动退出。", refused: "访问密钥无效或已停用：文件里没有这个访问密钥。" },
  ready: "就绪", readyBut: "就绪，但有警告", loginsFail: "就绪，但登录失败：Redis 没有响应", notReady: "未就绪",
  standing: (version, name, rights) => `wxmint ${version} · ${name}（${rights.join("、")}）`,
  findHeading: "用户", sought: "用户 ID（token 的 sub）、openid 或 unionid", find: "查找",
  knownBy: { user_id: () => "用户 ID", unionid: () => "unionid", openid: (app) => `${app} 中的 openid：` },
  blocked: "已封禁", notBlocked: "未封禁", lastLogin: "最近登录", endedBefore: "token 吊销截至", none: "无", boundAt: "绑定时间",
  unknown: "没有找到：wxmint 没有这个用户 ID、openid 或 unionid。如果它是手机上显示的请求 ID，请在所有进程的审计日志里查找。要在首次登录之前封禁你自己系统里的用户，请用命令 wxmint users block ID。",
  bindings: (count) => (count ? `绑定（${count}）` : "没有绑定"), readOnly: "此访问密钥只能查看：它没有 operate 权限。", cancel: "取消",
  acts: {
    end: { button: "吊销全部 token", asks: "吊销该用户的全部 token？", done: "已吊销全部 token，用户：", says: "此前签发的 token，wxmint 立即拒绝，跟踪 feed 的验证方在 10 秒内拒绝。用户可以重新登录。" },
    block: { button: "封禁", asks: "封禁该用户？", done: "已封禁用户：", says: "永久吊销其全部 token，并拒绝其登录，直到解除封禁。" },
    unblock: { button: "解除封禁", asks: "解除对该用户的封禁？", done: "已解除封禁，用户：", says: "用户可以重新登录。已吊销的 token 不会恢复。" },
    dissolve: { button: "解除绑定", asks: "解除该用户的一个绑定？", done: "已解除绑定，用户：", says: (app) => `解除该用户在 ${app} 中的微信身份绑定，并吊销其在该应用的 token。下一次登录会重新确认是哪个用户；WXMINT_ACCOUNTS=auto 时成为新用户。此操作在这里无法撤回。` },
  },
  problems: {
    other: "wxmint 拒绝了该请求。", unreachable: "wxmint 没有响应。请检查端口转发是否仍在运行、进程是否正常，然后重试。",
    forbidden: "此访问密钥没有所需的权限。",
    store_unavailable: "Redis 没有响应，无法确定操作是否完成。操作可以重复执行：请稍后重试，并查看体检结果。",
    store_unavailable_read: "Redis 没有响应，无法查询。查询不会更改任何内容：请稍后重试，并查看体检结果。",
    invalid_request: "这不是有效的 ID。", internal_error: "wxmint 内部出错，请按请求 ID 查日志。", dots: "URL 无法表示该用户。请改用命令 wxmint users show、end、block。",
  },
  loginsHeading: "最近一小时的登录", outcome: "结果", lastTen: "10 分钟", lastHour: "1 小时", noLogins: "没有。",
  whoseLogins: "统计哪个应用", allApps: "全部应用", kinds: { official_account: "公众号", website: "网站应用", mobile_app: "移动应用" }, ofKind: (app, kind) => `${app}（${kind}）`, appLogins: (app, ok, refused) => `${app}：成功 ${ok}，被拒 ${refused}`,
  counted: (at) => `由本进程自 ${at} 起统计。如果运行多个 wxmint 进程，每个进程只统计自己响应的登录。每根柱表示一分钟。`, chart: (ok, refused) => `登录成功 ${ok} 次，被拒 ${refused} 次`,
  outcomes: {
    ok: "登录成功", rate_limited: "超过限额", binding_required: "要求输入密码", invalid_credentials: "用户名或密码错误", user_blocked: "已封禁或停用",
    already_bound: "已绑定其他账号", code_invalid: "微信判定 code 无效", code_used: "code 重复使用", unknown_app: "AppID 未配置", app_required: "有多个应用，未指明", snapshot_user: "快照页的虚拟用户", unionid_missing: "新用户，且微信没有返回 unionid", unionid_changed: "微信返回的 unionid 与之前不同", permission_missing: "商家未授予该权限", phone_quota_exhausted: "微信验证手机号的额度不足", session_key_missing: "没有微信认可的 session_key", invalid_token: "token 无效", forbidden: "没有权限", invalid_request: "请求格式错误", credentials_in_query: "密码出现在 URL 中",
    wechat_misconfigured: "微信拒绝 AppID 或 AppSecret，见体检", wechat_unavailable: "微信没有响应", platform_misconfigured: "其他平台拒绝 AppID 或密钥，见体检", platform_unavailable: "其他平台没有响应", store_unavailable: "Redis 没有响应", accounts_unavailable: "账号服务没有响应", internal_error: "程序缺陷，见日志",
  },
  keysHeading: "签名密钥", nextHeading: "接下来", begins: "开始签名：", leaves: "移出 JWKS：", within: (wait) => `${wait}后`,
  noNext: "没有已公开的后续密钥。下次轮换时公开：wxmint keys rotate。", states: { published: "已公开", signing: "签名中", retired: "已停用" }, legend: "实色：签名；淡色：为已签发的 token 保留在 JWKS 中；竖线：现在。",
  life: (state, age, left) => `${{ published: `${age}后开始签名`, signing: `已签名 ${age}`, retired: `${age}前首次签名` }[state]}${left ? `；${left}后移出 JWKS` : ""}`,
  doctorHeading: "体检结果", examine: "重新体检", examining: "正在体检，最多 15 秒……", statuses: { ok: "正常", warning: "警告", fault: "故障" },
  examined: (at, bad) => `体检时间 ${at}。${bad ? `有 ${bad} 项需要处理。` : "没有需要处理的问题。"}`, allOk: (count) => `${count} 项正常`, inChinese: true,
  number: (value) => value.toLocaleString("zh-CN"), units: [" 天", " 小时", " 分钟", " 秒"],
};

/** Takes a door's outcomes, in both languages. */
export function learn(english, chinese) {
  Object.assign(en.outcomes, english);
  Object.assign(zh.outcomes, chinese);
}

export const words = () => (document.documentElement.lang.startsWith("zh") ? zh : en);

let kinds = new Map(); // of the apps that are configured

/** Takes the samples of wxmint_app_info. */
export const appsAre = (apps) => (kinds = new Map(apps.map(({ app, kind }) => [app, kind])));

/** The AppID, and the kind of what is no mini program. */
export function appName(app) {
  const kind = words().kinds[kinds.get(app)];
  return kind ? words().ofKind(app, kind) : app;
}

/** Fills in what never changes but by language. */
export function fill() {
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = words()[element.dataset.words];
}

/** Makes an element: `el("p", { className: "note", "data-x": "y" }, "text", child)`. Texts stay texts. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") element.style.cssText = value; // the page's policy allows no attribute
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child || child === 0));
  return element;
}

/** Why something failed, and what to do, in words of this page and in those of wxmint. A look changes nothing. */
export function told({ code, detail, request_id: id, isLook }) {
  const { problems } = words();
  return [(isLook && problems[`${code}_read`]) || (problems[code] ?? problems.other), detail && el("span", { lang: "en" }, detail), id && el("code", {}, id)].filter(Boolean);
}

const written = (ms, form) => new Intl.DateTimeFormat(document.documentElement.lang, form).format(ms);
/** Seconds since 1970 as people read them, or null. In Chinese, the name of the zone would stand between date and time. */
export const moment = (seconds) => seconds && written(seconds * 1000, { dateStyle: "medium", timeStyle: words() === zh ? "medium" : "long" });
export const clock = (ms) => written(ms, { timeStyle: "medium" });

/** A number of seconds in its two largest units. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  const first = Math.min(parts.findIndex((part) => part) >>> 0, 3);
  return parts.map((part, n) => `${part}${words().units[n]}`).slice(first, first + 2).filter((_, n) => n === 0 || parts[first + n]).join(" ");
}

/** What the client uses of `wx`, `Taro` or `uni`. Options and answers are loosely typed, because each of them has its own. */
export interface Platform {
  login(options: any): any
  request(options: any): any
  uploadFile?(options: any): any
  downloadFile?(options: any): any
  getStorageSync(key: string): any
  setStorageSync(key: string, data: any): any
  removeStorageSync(key: string): any
  /** What a login says as `platform`. Needed only where one AppID belongs to two platforms: `wxmint-miniprogram/wecom`. */
  wxmintPlatform?: string
}

export interface ClientOptions {
  /** wxmint's address, such as `https://login.example.com`, perhaps with a path. */
  url: string
  /** The mini program's AppID: needed if wxmint serves several and the platform sends no Referer. */
  appid?: string
  /** `wx` by default. */
  platform?: Platform
  /** Of the key in storage; `'wxmint.'` by default. */
  prefix?: string
  /** Milliseconds; `Date.now` by default. */
  now?: () => number
  onEvent?: (event: ClientEvent) => void
  /**
   * Whether a service's answer says that it has refused the token; `statusCode === 401` by default. Some frameworks answer
   * 200 with `{"code":401}`, or 424. wxmint's own answers are not asked about.
   */
  refused?: (answer: Answer) => boolean
  /** The headers in which services get the token; `{ Authorization: 'Bearer …' }` by default. wxmint gets that always. */
  header?: (token: string) => { [name: string]: string }
}

export type ClientEvent =
  /** After each login. */
  | { type: 'login'; userId: string; newUser: boolean }
  /** wxmint wants to know who the user is: call `bind`. */
  | { type: 'binding_required'; error: WxmintError }
  /** A service has refused the token before its time, for example after a logout on another phone. */
  | { type: 'ended'; userId: string }
  /** The phone has forgotten the token, by `logout()` or `unbind()`. */
  | { type: 'logout' }

/** Who the user is: by password, or by the code of `<button open-type="getPhoneNumber">`. */
export type Account = { username: string; password: string } | { phoneCode: string }

export interface LoggedIn {
  userId: string
  /** Whether this login has made the user. */
  newUser: boolean
}

export type Status = 'logged_in' | 'logging_in' | 'logged_out' | 'binding_required' | 'user_blocked' | 'none'

export interface State {
  status: Status
  /** Of the valid token; with `logged_in` only. */
  userId?: string
}

/** What `onTask` gets. */
export interface Task {
  /** Rejects the call with `aborted` at once, in whatever phase it is. */
  abort(): void
}

export interface TransferTask extends Task {
  /** As that of the platform's task. */
  onProgressUpdate(listener: (progress: any) => void): void
}

export interface CommonOptions<T extends Task> {
  url: string
  header?: any
  /** `'required'` by default. `'optional'`: with the token if there is a valid one. `'none'`: without. */
  auth?: 'required' | 'optional' | 'none'
  /** Called once, before the call returns. */
  onTask?: (task: T) => void
  /** Whatever else the platform's function takes. */
  [option: string]: any
}

export interface RequestOptions extends CommonOptions<Task> {
  method?: string
  data?: any
  /** Repeats a GET or HEAD once if it got no answer. */
  retry?: boolean
}

export interface UploadOptions extends CommonOptions<TransferTask> {
  filePath?: string
  name?: string
  formData?: any
}

export interface DownloadOptions extends CommonOptions<TransferTask> {
  filePath?: string
}

export interface Answer<T = any> {
  data: T
  statusCode: number
  header: any
  [member: string]: any
}

export interface DownloadAnswer {
  tempFilePath: string
  filePath?: string
  statusCode: number
  [member: string]: any
}

/** What WeChat has sealed for the server, or has signed. */
export type SealedData = { encryptedData: string; iv: string } | { rawData: string; signature: string }

export interface PhoneNumber {
  phoneNumber: string
  purePhoneNumber: string
  countryCode: string
}

/** Of what a page's `onLoad` gets: `scene` of a mini-program code, `q` of an ordinary QR code. */
export interface ScanOptions {
  scene?: string | undefined
  q?: string | undefined
}

export interface Scanned {
  userCode: string
}

/** What asks to be logged in as this phone's user. */
export interface Device {
  clientId: string
  clientName: string
  /** Of the asking browser, shortened. */
  address: string
  /** The browser and its system by wxmint's own names, as `Chrome on Windows`, or `unknown device`. */
  userAgent: string
  /** Seconds since 1970. */
  requestedAt: number
  /** Seconds. */
  expiresIn: number
  /** Three numbers, one of which the device shows: `approve` needs the one that the user has chosen. */
  choices?: string[]
}

export interface Client {
  /** `wx.request` with the token. Resolves with the answer, whatever its status. */
  request<T = any>(options: RequestOptions): Promise<Answer<T>>
  /** `wx.uploadFile` with the token. */
  upload(options: UploadOptions): Promise<Answer<string>>
  /** `wx.downloadFile` with the token. */
  download(options: DownloadOptions): Promise<DownloadAnswer>
  /** Logs in if there is no valid token. */
  token(): Promise<string>
  /** Always a new login; `login({})` is `login()`. */
  login(account?: Account | { username?: undefined; phoneCode?: undefined }): Promise<LoggedIn>
  /** Says who the user is, after `binding_required`. */
  bind(account: Account): Promise<LoggedIn>
  /** Forgets the token before it returns, and tells wxmint. `everywhere` ends all tokens of the user, unless this one was ended before. */
  logout(options?: { everywhere?: boolean }): Promise<void>
  /** Dissolves the binding of this WeChat user. */
  unbind(): Promise<void>
  /** Opens what WeChat has sealed. */
  userData<T = any>(sealed: SealedData): Promise<T>
  /** The phone number for a code of `<button open-type="getPhoneNumber">`. */
  phone(code: string): Promise<PhoneNumber>
  session: {
    /** Whether WeChat still knows the session key that wxmint has. */
    valid(): Promise<boolean>
    /** Has WeChat make another session key. */
    reset(): Promise<void>
  }
  /** The user code that the user has scanned, from a page's `onLoad` options; `null` if there is none. */
  scanned(options?: ScanOptions): Scanned | null
  /** What asks to be logged in, and marks it as scanned. */
  device(userCode: string): Promise<Device>
  /** Logs the device in, with a new `wx.login`. After `offline` it may be called again. A wrong number ends the request. */
  approve(userCode: string, answer?: { match?: string }): Promise<void>
  /** Refuses to log the device in. */
  deny(userCode: string): Promise<void>
  /** Asks nobody. */
  state(): State
}

export interface ErrorDetails {
  status?: number
  retryAfter?: number
  requestId?: string
  cause?: unknown
}

/** What every call rejects with. Decide by `code`. */
export class WxmintError extends Error {
  /** wxmint's own (docs/api.md), or `offline`, `unavailable`, `logged_out`, `aborted`. */
  readonly code: string
  /** Of the answer; 0 without one. */
  readonly status: number
  /** `Retry-After` of the answer, in seconds: of wxmint, or of a proxy. After a login, the client obeys it for 5 minutes at most. */
  readonly retryAfter?: number
  /** Finds the line in wxmint's log. */
  readonly requestId?: string
  /** What the platform's `fail` got, without secrets. */
  readonly cause?: unknown

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message)
    this.name = 'WxmintError'
    this.code = code
    this.status = details.status || 0
    this.retryAfter = details.retryAfter
    this.requestId = details.requestId
    this.cause = details.cause
  }
}

import type { Platform } from '../api'
import { withCode } from './login'

/** What the client uses of `my`. */
export interface AlipayGlobal {
  getAuthCode(options: any): any
  request(options: any): any
  uploadFile?(options: any): any
  downloadFile?(options: any): any
  getStorageSync(options: any): any
  setStorageSync(options: any): any
  removeStorageSync(options: any): any
}

const NO_CODE = 'getAuthCode:fail the answer has no authCode'
const NO_NETWORK = 'there is no network'

/** The errors of `my.getAuthCode`. */
const LOGIN_ERRORS: { [error: string]: string } = { 3: NO_NETWORK, 11: 'the user has cancelled', 12: NO_NETWORK }

/** The status was not 2xx. Some versions call `fail` then. */
const HTTP_ERROR = 19

/** The platform of a mini program of Alipay, from its global object `my`. */
export function alipay(my: AlipayGlobal): Platform {
  return {
    login(options) {
      const { success } = withCode(options, NO_CODE, ({ authCode }) => authCode)
      const fail = (cause: any) => options.fail(failureOf('getAuthCode', cause, LOGIN_ERRORS))
      return my.getAuthCode({ scopes: 'auth_base', success, fail })
    },

    request(options) {
      const { header, dataType = 'json', responseType } = options
      const isBinary = responseType === 'arraybuffer'
      const isJson = !isBinary && dataType === 'json'
      // With `json`, an answer that is no JSON is an error without a status: a 204, or a proxy's page.
      const given = { headers: headersOf(header), dataType: isBinary ? responseType : isJson ? 'text' : dataType }
      const read = isJson ? parsed : same
      const ours = Object.assign({}, options, given, answering('request', options, read))
      delete ours.header
      delete ours.responseType
      return my.request(ours)
    },

    uploadFile(options) {
      // `fileName` is the name of `name` in older versions, which also need a `fileType`.
      const given = { fileName: options.name, fileType: options.fileType || 'image' }
      return my.uploadFile!(Object.assign({}, options, given, answering('uploadFile', options, same)))
    },

    downloadFile(options) {
      const { success, fail } = answering('downloadFile', options, same)
      const saved = (answer: any): void => {
        const { apFilePath, tempFilePath = apFilePath, statusCode, status } = Object(answer)
        // `my` tells of no status, because it succeeds with a file only.
        success(Object.assign({}, answer, { tempFilePath, statusCode: statusCode || status || 200 }))
      }
      return my.downloadFile!(Object.assign({}, options, { success: saved, fail }))
    },

    getStorageSync(key) {
      const { APDataStorage, data = APDataStorage } = Object(my.getStorageSync({ key }))
      return data == null ? '' : data
    },

    setStorageSync: (key, data) => check(my.setStorageSync({ key, data })),

    removeStorageSync: (key) => check(my.removeStorageSync({ key })),
  }
}

/** `success` and `fail` for `my`, which call those of `options` as `wx` does. `read` is for the body. */
function answering(name: string, options: any, read: (data: any) => any) {
  const success = (answer: any): void => options.success(answerOf(answer, read))
  const fail = (cause: any): void => {
    if (isAnswer(cause)) success(cause)
    else options.fail(failureOf(name, cause))
  }
  return { success, fail }
}

/** Older versions have `status` and `headers`, newer ones also `statusCode` and `header`. */
function answerOf(answer: any, read: (data: any) => any): object {
  const { status, statusCode = status, headers = {}, header = headers, data } = Object(answer)
  return Object.assign({}, answer, { statusCode: Number(statusCode), header, data: read(data) })
}

/** Whether a failure is an answer with a status. In some versions `status` repeats the number of the error. */
function isAnswer(cause: any): boolean {
  const { error, status, statusCode = status } = Object(cause)
  return Number(error) === HTTP_ERROR && statusCode >= 100 && statusCode <= 599
}

/** What `my` gives to `fail`, with an `errMsg` as `wx` has it. */
function failureOf(name: string, cause: any, meanings: { [error: string]: string } = {}): object {
  const { error, errorMessage, message } = Object(cause)
  const text = meanings[error] || errorMessage || message || 'no reason was given'
  return Object.assign({}, cause, { errMsg: `${name}:fail ${text}${error === undefined ? '' : ` (error ${error})`}` })
}

/** `my` looks for `content-type`, and takes only texts. */
function headersOf(header: any): { [name: string]: string } {
  const headers: { [name: string]: string } = {}
  for (const name of Object.keys(Object(header))) headers[name.toLowerCase()] = String(header[name])
  return headers
}

/** As `wx.request` reads a body: what is no JSON stays a text. */
function parsed(data: any): any {
  try {
    return typeof data === 'string' ? JSON.parse(data) : data
  } catch (noJson) {
    return data
  }
}

function same(data: any): any {
  return data
}

/** `wx` throws if storage fails. `my` may return the error. */
function check(result: any): void {
  const { error, errorMessage } = Object(result)
  if (error) throw new Error(`Storage has failed: ${errorMessage} (error ${error})`)
}

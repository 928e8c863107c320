/** What a page needs to show a code. The members' names are those of RFC 8628 and of wxmint. */
export interface Code {
  user_code: string
  verification_uri: string
  /** For an ordinary QR code, which WeChat opens in the mini program. */
  verification_uri_complete?: string
  /** A picture: the mini program's own code. wxmint answers 503 if WeChat gives none. */
  mini_program_code_uri?: string
  /** The number that the person has to tap on the phone. Show it large. */
  match?: string
  /** When the code expires, in milliseconds since 1970 by this machine's clock. */
  until: number
}

export type State<Answer = Token> =
  /** The code is to be shown. A code that nobody has scanned is replaced before it expires: `waiting` again, with the new one. */
  | { status: 'waiting'; code: Code }
  /** A phone shows who asks. Until the code expires, it is not replaced. */
  | { status: 'scanned'; code: Code }
  /** What the token endpoint or the page's own back end has answered. */
  | { status: 'approved'; answer: Answer }
  /** The person has said no, or has tapped a wrong number. */
  | { status: 'denied' }
  /** Nobody has approved any of `codes` codes. */
  | { status: 'expired' }
  /** `error` is OAuth's, or `unavailable` without an answer. `retryAfter`: seconds, 0 if the answer does not say. */
  | { status: 'failed'; error: string; answer: Record<string, unknown>; retryAfter: number }

/** wxmint's answer to a page without a back end. Keep the token in memory only. */
export interface Token {
  access_token: string
  token_type: string
  expires_in: number
  user_id: string
}

export interface Common<Answer> {
  /** Called with each state, in order. */
  onState?(state: State<Answer>): void
  /** Stops everything; `scan` then resolves with undefined. */
  signal?: AbortSignal
  /** How many codes are shown one after the other before the page gives up; 10, which is half an hour at wxmint's 180 s. */
  codes?: number
  /** Sent with each request, such as a CSRF token for your own back end. */
  headers?: Record<string, string>
}

/** A page without a back end: a client that has no secret, and that names the page's origin. */
export interface AtWxmint {
  /** wxmint's URL, without a slash at the end. */
  url: string
  clientId: string
}

/** The page's own back end, which has the client's secret and keeps the device code. */
export interface AtBackEnd {
  /** POST: hands on wxmint's answer of `/device_authorization` without its `device_code`. */
  start: string
  /** POST with the form field `user_code`: 2xx with JSON when the user is logged in, otherwise wxmint's refusal of `/token`. */
  poll: string
}

/**
 * Shows codes until one is approved, and resolves with the last state. Rejects only with what `onState` throws.
 * A page that is loaded again goes on with its code.
 */
export function scan<Answer = Token>(
  options: (AtWxmint | AtBackEnd) & Common<Answer>,
): Promise<State<Answer> | undefined>

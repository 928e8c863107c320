// What the page says in English about each step of the diagram.

export const steps = {
  phoneCode: {
    label: "getPhoneNumber → phone_code",
    note: "On a phone, the person presses a special button. If the person agrees, the mini program gets a one-time code, and not the number. Here the page asks the simulator for one.",
  },
  code: {
    label: "wx.login → code",
    note: "On a phone, wx.login asks WeChat for a one-time code. Here the page asks the simulator for one. A code is valid for 5 minutes and for one exchange.",
  },
  post: {
    label: "POST /login",
    note: "The mini program sends the code. The appid says which of the two mini programs it is; on a phone the Referer that WeChat adds tells it. The answer is further down.",
    password: "Account and password go with it, this once. The page masks the password here.",
    phone: "The phone_code goes with it, this once.",
    ticket: "The bind_ticket of the last answer replaces the code, which has been used. It is valid for one attempt within 5 minutes. The answer is further down.",
  },
  claim: {
    label: "claim the code",
    note: "wxmint writes a hash of the code to the store unless it is there already, in one round trip. However many copies of the code arrive at however many replicas, one of them goes on.",
    refused: "The code was there already, so it went no further. The simulator’s journal shows no request with this code since: WeChat was not asked.",
  },
  ticket: {
    label: "take the ticket",
    note: "wxmint takes the ticket out of the store, because it is valid for one attempt, right or wrong. The ticket names the WeChat identity, so WeChat is not asked again.",
    refused: "The ticket was not there any more: it has been used, or is older than 5 minutes.",
  },
  session: {
    label: "code2Session",
    note: "From the journal of the WeChat stand-in. The AppSecret and the session_key are masked by the simulator before the page sees them. WeChat says “200, text/plain” to everything, errors too.",
    skipped: "The simulator’s journal shows no request with this code: WeChat was not asked.",
    slow: "The stand-in waits 50\u00a0ms before it answers, so that you can see the wait.",
  },
  record: {
    label: "seal session_key · openid → user id",
    note: "One atomic step: the session_key is stored, encrypted with AES-256-GCM, so that only wxmint can read it, and the openid is looked up.",
    nobody: "The openid is bound to nobody. wxmint puts a bind_ticket into the store and asks who it is.",
    unionid: "This openid is new, but WeChat’s unionid is known from the other mini program: the openid is bound to the same user, and nobody is asked.",
    skipped: "Nothing to keep: WeChat gave no session_key and no openid.",
  },
  number: {
    label: "getuserphonenumber",
    note: "From the journal of the WeChat stand-in: the phone_code goes in, the number that WeChat has verified comes out.",
    token: "WeChat wants its access token for this. wxmint has none yet and fetches one (stable_token): once for all replicas, kept sealed, renewed ahead of its end. A login by code alone never needs it.",
    skipped: "WeChat was not asked for a number.",
  },
  account: {
    label: { password: "check the password", phone: "whose number is it?" },
    note: {
      password: "From the journal of the account service, which masks the password. wxmint keeps no password.",
      phone: "From the journal of the account service: it finds the user of the number, or makes one and says so.",
    },
    signed: "The request also carries a short-lived JWT, signed with wxmint’s own key and verifiable by its JWKS; the journal shows no headers.",
    refused: "It knows no such user. An unknown name and a wrong password get the same answer.",
    skipped: "The account service was not asked.",
  },
  bind: {
    label: "bind openid → user id",
    note: "The store now says which user this WeChat identity belongs to; from now on wx.login alone is enough. Each step can be repeated, so that a crash at any point loses nothing.",
    refused: "Refused: this WeChat identity is another user’s, or this user has another WeChat identity. Nothing is changed.",
    skipped: "There is nobody to bind to.",
  },
  answer: { label: "200, a token" },
  verify: {
    label: "JWKS, then verify",
    note: "A service of yours fetches the published keys, keeps them, and verifies each token by itself. wxmint is not asked about a token. Here this page is that service; the checks are in the tab Token.",
    skipped: "There is no token to verify.",
  },
  unbind: {
    label: "DELETE /binding",
    note: "The mini program sends its token and nothing else; wxmint verifies it as every service does.",
  },
  dissolve: {
    label: "dissolve the binding",
    note: "Binding and session_key leave the store. A known unionid does not bring the binding back by itself: the next login asks.",
    skipped: "Nothing was dissolved.",
  },
  unbound: { label: "204, done" },
};

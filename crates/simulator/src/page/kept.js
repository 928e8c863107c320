// What outlives a reload of the page: who holds the phone, and the tokens that the phone has.
//
// sessionStorage ends with the tab, and every script of this origin can read it. That is fine for a demo, whose tokens
// are toys and whose scripts are all its own. A mini program keeps its token by wx.setStorageSync, which no other mini
// program can read; a web page that serves real users is better off with an HttpOnly cookie.

const NAME = "wxmint.phone";

export function keepPhone(phone) {
  try {
    sessionStorage.setItem(NAME, JSON.stringify(phone));
  } catch {
    // storage is switched off: the tokens last as long as the page
  }
}

/** What was kept last, or nothing. */
export function keptPhone() {
  try {
    return JSON.parse(sessionStorage.getItem(NAME)) ?? {};
  } catch {
    return {};
  }
}

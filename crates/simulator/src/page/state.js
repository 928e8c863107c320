// What the page knows, and what every part of it does with that. All that is shown is drawn from here at once, by `draw`.

import { readAccounts } from "./asking.js";
import { byId } from "./dom.js";
import { accountOf, meetStranger } from "./people.js";

export const state = {
  app: "tea",
  person: "lin",
  stranger: meetStranger(), // whoever "someone new" is this time
  accounts: [], // the business's users, and who is bound to them
  attempt: null, // the evidence of the latest login or unbinding, see readSteps
  reveal: 0, // how many of its steps are shown
  busy: false,
  sessions: {}, // by app: the latest login that succeeded, { person, answer, at, how, otherApp }
  held: null, // the token in the box: { token, text, at, userId, person, app, trust, known, ended } and what `examine` has found
  ending: null, // the latest act that revoked a token: { act, held, began, ms, other }, or { act, failed }
  asking: {}, // by app, while it asks who the person is: { ticket, opened }, the ticket null once it is spent
  form: { username: "", password: "" }, // what is typed there
  consent: null, // while WeChat asks whether to give the phone number: { number }
  laptop: { stage: "idle", calls: {} }, // of a website: idle, shown, scanned, in, out or refused; see scan.js
  scan: null, // what the phone has scanned: { scene, laptop, asks, number, token }, or what it says at the end: { said }
  failure: null, // the latest attempt that failed: { id, code, answer, readyAt, again, closed }
};

let drawAll = () => {};

/** Draws what the page knows. */
export const draw = () => drawAll();

/** Names what draws. */
export const drawWith = (draws) => (drawAll = draws);

/** Who holds the phone. */
export const personId = () => (state.person === "new" ? state.stranger : state.person);

/** The account and password of a person who has them. */
export function credentialsOf(person) {
  const { username, password } = accountOf(state.accounts, person) ?? {};
  return username ? { username, password } : {};
}

export async function refreshAccounts() {
  state.accounts = (await readAccounts()) ?? state.accounts;
}

const KEPT = "wxmint.phone";

/**
 * Keeps over a reload of the page who holds the phone, and the tokens that the phone has. sessionStorage ends with the
 * tab, and every script of this origin can read it. That is fine for a demo, whose tokens are toys and whose scripts are
 * all its own. A mini program keeps its token by wx.setStorageSync, which no other mini program can read; a web page that
 * serves real users is better off with an HttpOnly cookie.
 */
export function keepPhone(phone) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(phone));
  } catch {
    // storage is switched off: the tokens last as long as the page
  }
}

/** What was kept last, or nothing. */
export function keptPhone() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

/** Tells people who listen to the page instead of looking at it. */
export function say(text) {
  byId("said").textContent = text;
}

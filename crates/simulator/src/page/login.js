// What the phone does: the course of a login, of an unbinding, and of requests with its token.

import { call, journalEnd, journalOf, masked } from "./asking.js";
import { drawTiming } from "./diagram.js";
import { pause } from "./dom.js";
import { ended, examine, hasToken, hold, mayEnd, now, reexamine, settle } from "./held.js";
import { APPS, isBound, nameOf } from "./people.js";
import { adviceFor } from "./problem.js";
import { ACTS } from "./services.js";
import { credentialsOf, draw, personId, refreshAccounts, say, state } from "./state.js";
import { courseOf, succeeded } from "./steps.js";
import { words } from "./words.js";

// ms between two lights: what really takes 5 ms would be over before the eye has found it
const PACE = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 230;

let failures = 0;

// ---- a login, in the order in which it happens ----

/**
 * Logs the chosen person in. `asked.by` is what goes beside WeChat's identity: nothing, a "password" with `username` and
 * `password`, or the "phone" number. `asked.ticket` stands for a code.
 */
export async function logIn(asked = {}) {
  const { by, username, password } = asked;
  await attempt({ ...asked, again: () => logIn({ by, username, password }) }, runLogin);
}

/** Runs an attempt from beginning to end, unless one is running. What it has done to the token in the box, the services say. */
async function attempt(asked, run) {
  if (state.busy) return;
  const { app } = state;
  const evidence = { ...asked, app, appid: APPS[app], person: personId(), journal: { session: [], number: [], account: [] } };
  Object.assign(state, { busy: true, failure: null, consent: null, reveal: 0, attempt: evidence });
  draw();
  const ticking = setInterval(() => drawTiming(evidence, state.reveal), 100);
  try {
    await run(evidence);
    if (state.held && !evidence.checks) await examine(state.held);
  } finally {
    clearInterval(ticking);
    state.busy = false;
    draw();
  }
  settle(state.held);
}

async function runLogin(evidence) {
  evidence.wasBound = isBound(state.accounts, evidence.person, evidence.app);
  evidence.since = await journalEnd();
  const failed = await collectCodes(evidence);
  if (failed) return fail(evidence, failed);
  await sendLogin(evidence);
  evidence.journal = await journalOf(evidence);
  if (succeeded(evidence.reply)) return succeed(evidence);
  await refreshAccounts(); // a refused login may have made a user for a phone number
  await revealThrough("verify");
  return fail(evidence, evidence.reply);
}

/** What the phone gets from WeChat before it sends anything. Returns the call that gave nothing, if one did. */
async function collectCodes(evidence) {
  const whose = { person: evidence.person, appid: evidence.appid };
  if (evidence.by === "phone") {
    evidence.phoneMinted = await call("POST", "/_simulator/phone-codes", whose);
    evidence.phoneCode = evidence.phoneMinted.answer?.body?.code;
    await revealThrough("phoneCode");
    if (!evidence.phoneCode) return evidence.phoneMinted;
  }
  if (evidence.ticket) return null;
  evidence.minted = await call("POST", "/_simulator/codes", whose);
  evidence.code = evidence.minted.answer?.body?.codes?.[0];
  await revealThrough("code");
  return evidence.code ? null : evidence.minted;
}

function bodyOf({ appid, code, ticket, by, username, password, phoneCode }) {
  const proof = ticket ? { bind_ticket: ticket } : { appid, code };
  const identity = { password: { username, password }, phone: { phone_code: phoneCode } };
  return { ...proof, ...identity[by] };
}

async function sendLogin(evidence) {
  const body = bodyOf(evidence);
  evidence.began = performance.now();
  evidence.sent = { method: "POST", path: "/login", headers: {}, body: masked(body) };
  draw();
  evidence.reply = await call("POST", "/login", body);
}

async function succeed(evidence) {
  const { app, person, by, reply } = evidence;
  const answer = reply.answer.body;
  evidence.viaUnionid = !by && !evidence.wasBound;
  await revealThrough("answer");
  const otherApp = Object.keys(APPS).find((other) => other !== app);
  const how = by ?? (evidence.viaUnionid ? "unionid" : evidence.renews ? "renewed" : "silent");
  state.sessions[app] = { person: state.person, answer, at: now(), how, otherApp };
  delete state.asking[app];
  say([words().hello(nameOf(person)), `${words().userId} ${answer.user_id}`].join(words().stop));
  await refreshAccounts();
  draw();
  await hold(app, evidence);
  const began = performance.now();
  await examine(state.held);
  Object.assign(evidence, { checks: state.held.checks, verifyMs: performance.now() - began });
  await revealThrough("verify");
}

export function fail({ app, again }, { answer }) {
  const code = answer ? (answer.body?.code ?? "other") : "unreachable";
  const wait = Number(answer?.headers["retry-after"] ?? 0);
  failures += 1;
  const mend = code === "invalid_token" ? () => logIn() : again;
  state.failure = { id: failures, code, answer, readyAt: performance.now() + wait * 1000, again: mend };
  if (code === "binding_required") ask(app, answer.body.bind_ticket);
  if (code === "user_blocked") delete state.sessions[app];
  say(adviceFor(code).join(words().stop));
}

/** Opens the form in which a person says who they are. */
function ask(app, ticket) {
  delete state.sessions[app];
  state.asking[app] = { ticket, opened: failures };
  state.form = { username: "", password: "", ...credentialsOf(personId()) };
}

// ---- the end of a binding ----

export function unbind() {
  const { access_token: token } = state.sessions[state.app].answer;
  return attempt({ unbinding: true, again: unbind, token, credentials: credentialsOf(personId()) }, runUnbinding);
}

async function runUnbinding(evidence) {
  evidence.began = performance.now();
  evidence.reply = await call("DELETE", "/binding", undefined, evidence.token);
  await refreshAccounts();
  await revealThrough("unbound");
  if (!succeeded(evidence.reply)) return fail(evidence, evidence.reply);
  await ended("unbind", state.held);
  say(words().unbound);
}

// ---- the phone asks a service, and what it does when its token was revoked ----

/** As wxmint-miniprogram does: after a 401 it logs in once, without a word, and repeats the request once. */
export async function useService() {
  const { app } = state;
  if (state.busy || !state.sessions[app]) return;
  const ask = () => call("GET", "/demo/orders", undefined, state.sessions[app].answer.access_token);
  let reply = await ask();
  if (reply.answer?.status === 401) {
    await logIn({ renews: true });
    if (state.sessions[app]) reply = await ask();
  }
  if (state.sessions[app] && succeeded(reply)) state.sessions[app].orders = reply.answer.body.orders;
  draw();
}

/** Shows the token that the phone has in the open mini program. If it was revoked meanwhile, the phone notices. */
export async function takeUp() {
  const { app } = state;
  if (!state.sessions[app]) return;
  await hold(app);
  await reexamine();
  if (state.held && hasToken(state.held)) await useService();
}

/** Revokes the token by one of ACTS, and watches until no service accepts it. Then the phone, if it still has it, notices. */
export async function end(act) {
  if (!mayEnd()) return;
  const { held } = state;
  state.ending = { act, ms: null };
  draw();
  const reply = await ACTS[act](held);
  if (!succeeded(reply)) {
    state.ending = { act, failed: reply.answer?.body?.code ?? reply.answer?.status ?? words().noAnswer };
    return draw();
  }
  await ended(act, held);
  const other = reply.answer.body?.access_token;
  if (other && state.ending?.held === held) state.ending.other = (await call("GET", "/demo/orders", undefined, other)).answer?.status;
  draw();
  await settle(held);
  if (state.held === held && hasToken(held)) await useService();
}

// ---- showing it at a pace that can be followed ----

async function revealThrough(step) {
  const end = courseOf(state.attempt).indexOf(step) + 1;
  while (state.reveal < end) {
    state.reveal += 1;
    draw();
    await pause(PACE);
  }
}

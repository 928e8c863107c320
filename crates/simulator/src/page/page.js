// The page of `wxmint demo`: plays the mini program, and shows what really happens when somebody logs in.
// This file holds the state and the course of a login, which phone.js, diagram.js, accounts.js, peer.js, faults.js and
// token.js draw; sidecar.js, keys.js and code.js are panels of their own.

import { AccountsTable } from "./accounts.js";
import { dress } from "./appearance.js";
import { call, fetchTrust, journalEnd, journalOf, knownAbout, masked, phoneNumber, readAccounts, stillAccepted } from "./asking.js";
import { Diagram, drawTiming } from "./diagram.js";
import { CodePanel } from "./code.js";
import { beat, byId } from "./dom.js";
import { adviceFor, FaultPanel, FAULTS, inventCode } from "./faults.js";
import { accountOf, APPS, AWAY, isBound, meetStranger, nameOf, WRONG_PASSWORD } from "./people.js";
import { PeerPanel } from "./peer.js";
import { KeysPanel } from "./keys.js";
import { keepPhone, keptPhone } from "./kept.js";
import { Phone } from "./phone.js";
import { SidecarPanel } from "./sidecar.js";
import { courseOf, readSteps, succeeded } from "./steps.js";
import { Tabs } from "./tabs.js";
import { now, TokenView } from "./token.js";
import { verify } from "./verify.js";
import { words } from "./words.js";

const PACE = 230; // ms between two lights: what really takes 5 ms would be over before the eye has found it
const GLANCE = 400; // ms between two looks at the journal while an answer is late
const DAYS = 7; // of steps: a month of them would be long to read
const TABS = ["login", "token", "users", "service", "sidecar", "keys", "faults", "code"];

const state = {
  app: "tea",
  person: "lin",
  stranger: meetStranger(), // whoever "someone new" is this time
  accounts: [], // the business's users, and who is bound to them
  attempt: null, // the evidence of the latest login or unbinding, see readSteps
  reveal: 0, // how many of its steps are shown
  busy: false,
  sessions: {}, // by app: the latest login that succeeded, { person, answer, at, how, otherApp }, and `steps` once asked for
  asking: {}, // by app, while it asks who the person is: { ticket, opened }, the ticket null once it is spent
  form: { username: "", password: "" }, // what is typed there
  consent: null, // while WeChat asks whether to give the phone number: { number }
  failure: null, // the latest attempt that failed: { id, code, answer, readyAt, again, closed }
  fault: null, // which of FAULTS is on
  lastCodes: {}, // by app
};
let failures = 0;
let isReady = false;

const personId = () => (state.person === "new" ? state.stranger : state.person);

const diagram = new Diagram(byId("diagram"));
const accountsTable = new AccountsTable(byId("accounts"));
const tokenView = new TokenView(byId("token-view"));
const sidecarPanel = new SidecarPanel();
const peerPanel = new PeerPanel({ isBusy: () => state.busy, ended: forget, refused, lifted: redrawAccounts, say });
const codePanel = new CodePanel();
const panels = [sidecarPanel, new KeysPanel(say), codePanel];
const tabs = new Tabs(byId("tabs"), { names: TABS, panelOf: (name) => `panel-${name}`, shown: (name) => name === "code" && codePanel.toBegin() });
const phone = new Phone({ open, choose, leave, logIn, askForPhone, givePhone, bind, unbind, useService, countSteps, close: closeSheet });
const faultPanel = new FaultPanel({
  breakWeChat,
  heal,
  sendAgain: () => logIn({ given: "reused", code: state.lastCodes[state.app] }),
  sendInvented: () => logIn({ given: "invented", code: inventCode() }),
  guess: () => logIn({ by: "password", username: ownName() ?? "lin", password: WRONG_PASSWORD }),
  takeOver: () => logIn({ by: "password", ...credentialsOf(AWAY) }),
});

// ---- a login, in the order in which it happens ----

/**
 * Logs the chosen person in. `asked.by` is what goes beside WeChat's identity: nothing, a "password" with `username` and
 * `password`, or the "phone" number. `asked.ticket` stands for a code; `asked.given` ("reused" or "invented") says that
 * `asked.code` is not from wx.login.
 */
async function logIn(asked = {}) {
  const { by, username, password } = asked;
  const again = () => logIn({ by, username, password });
  await attempt({ ...asked, again }, runLogin);
}

/** Runs an attempt from beginning to end, unless one is running. */
async function attempt(asked, run) {
  if (state.busy) return;
  const { app } = state;
  const evidence = { ...asked, app, appid: APPS[app], person: personId(), journal: { session: [], number: [], account: [] } };
  Object.assign(state, { busy: true, failure: null, consent: null, reveal: -1, attempt: evidence });
  state.reveal = 0;
  draw();
  const ticking = setInterval(drawElapsed, 100);
  try {
    await run(evidence);
  } finally {
    clearInterval(ticking);
    state.busy = false;
    draw();
  }
}

async function runLogin(evidence) {
  evidence.wasBound = isBound(state.accounts, evidence.person, evidence.app);
  evidence.since = await journalEnd();
  const failed = await collectCodes(evidence);
  if (failed) return fail(evidence, failed);
  await sendLogin(evidence);
  const expected = !evidence.ticket && evidence.reply.answer?.body?.code !== "code_used";
  evidence.journal = await journalOf(evidence, expected);
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
  if (!evidence.given) {
    evidence.minted = await call("POST", "/_simulator/codes", whose);
    evidence.code = evidence.minted.answer?.body?.codes?.[0];
  }
  await revealThrough("code");
  if (!evidence.code) return evidence.minted;
  state.lastCodes[evidence.app] = evidence.code;
  return null;
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
  const watching = setInterval(() => watchWeChat(evidence), GLANCE);
  evidence.reply = await call("POST", "/login", body);
  clearInterval(watching);
}

/** While wxmint has not answered: once the WeChat stand-in has been asked, that is where the login waits. */
async function watchWeChat(evidence) {
  const journal = await journalOf(evidence, false);
  if (evidence.reply || !journal.session.length) return;
  evidence.journal = journal;
  state.reveal = courseOf(evidence).indexOf("session");
  draw();
}

async function succeed(evidence) {
  const { app, appid, person, by, reply } = evidence;
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
  const trust = await fetchTrust(evidence);
  const began = performance.now();
  evidence.checks = await verify(answer.access_token, trust, now());
  evidence.verifyMs = performance.now() - began;
  await revealThrough("verify");
  await showToken(app, person, trust);
}

/** Shows the token that the phone has in `app`, and hands it to the services. */
async function showToken(app, person, trust) {
  const { at, answer: { access_token: token, user_id: userId } } = state.sessions[app];
  byId("token-empty").hidden = true;
  byId("token-view").hidden = false;
  await tokenView.show({ token, userId, trust, known: await knownAbout(person, APPS[app]) });
  await Promise.all([peerPanel.take({ token, at, userId, person, app }), sidecarPanel.take(token)]);
}

/** After a reload: the tokens that the phone had, unless they were ended or come from a demo that has been stopped. */
async function takeUp(sessions) {
  state.sessions = await stillAccepted(sessions);
  draw();
  const app = state.sessions[state.app] ? state.app : Object.keys(state.sessions)[0];
  if (app) await showToken(app, personId(), await fetchTrust({}));
}

function fail({ app, again }, { answer }) {
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

function unbind() {
  const { access_token: token } = state.sessions[state.app].answer;
  return attempt({ unbinding: true, again: unbind, token, credentials: credentialsOf(personId()) }, runUnbinding);
}

async function runUnbinding(evidence) {
  evidence.began = performance.now();
  evidence.reply = await call("DELETE", "/binding", undefined, evidence.token);
  await refreshAccounts();
  await revealThrough("unbound");
  if (!succeeded(evidence.reply)) return fail(evidence, evidence.reply);
  delete state.sessions[evidence.app];
  say(words().unbound);
}

// ---- the phone asks a service, and what it does when its token was ended ----

/** As wxmint-miniprogram does: after a 401 it logs in once, without a word, and repeats the request once. */
async function useService() {
  const { app } = state;
  if (state.busy || peerPanel.busy || !state.sessions[app]) return;
  const ask = () => call("GET", "/demo/orders", undefined, state.sessions[app].answer.access_token);
  let reply = await ask();
  if (reply.answer?.status === 401) {
    await logIn({ renews: true });
    if (state.sessions[app]) reply = await ask();
  }
  if (state.sessions[app] && succeeded(reply)) state.sessions[app].orders = reply.answer.body.orders;
  draw();
}

/** The service has refused the token: so it does when the person looks at the phone next. */
async function refused({ token }) {
  await sidecarPanel.ask(token);
  if (state.sessions[state.app]?.answer.access_token === token) await useService();
}

// ---- the end of a token ----

/** After a logout the phone has no token any more. After another end it has one, until a service refuses it. */
async function forget(act, { token, userId }) {
  const isOver = {
    logout: (session) => session.answer.access_token === token,
    everywhere: (session) => session.answer.user_id === userId,
  };
  for (const [app, session] of Object.entries(state.sessions)) if (isOver[act]?.(session)) delete state.sessions[app];
  await redrawAccounts();
}

async function redrawAccounts() {
  await refreshAccounts();
  draw();
}

// ---- data that WeChat seals for the server ----

function countSteps() {
  const { access_token: token } = state.sessions[state.app].answer;
  return attempt({ decrypting: true, again: () => logIn(), token }, runDecrypting);
}

async function runDecrypting(evidence) {
  const { person, appid, app, token } = evidence;
  evidence.handedBody = { kind: "steps", days: DAYS };
  evidence.handed = await call("POST", "/_simulator/user-data", { person, appid, ...evidence.handedBody });
  await revealThrough("handed");
  const { encryptedData, iv } = evidence.handed.answer?.body ?? {};
  if (!encryptedData) return fail(evidence, evidence.handed);
  evidence.began = performance.now();
  evidence.reply = await call("POST", "/wechat/userdata", { encryptedData, iv }, token);
  await revealThrough("opened");
  if (!succeeded(evidence.reply)) return fail(evidence, evidence.reply);
  const { stepInfoList } = evidence.reply.answer.body.data;
  state.sessions[app].steps = stepInfoList.reduce((sum, { step }) => sum + step, 0);
  say(words().stepsCounted(state.sessions[app].steps));
}

// ---- showing it at a pace that can be followed ----

async function revealThrough(step) {
  const end = courseOf(state.attempt).indexOf(step) + 1;
  while (state.reveal < end) {
    state.reveal += 1;
    draw();
    await beat(PACE);
  }
}

async function refreshAccounts() {
  state.accounts = (await readAccounts()) ?? state.accounts;
}

/** Tells people who listen to the page instead of looking at it. */
function say(text) {
  byId("said").textContent = text;
}

// ---- what the buttons do ----

function open(app) {
  Object.assign(state, { app, failure: null, consent: null });
  draw();
}

function choose(person) {
  Object.assign(state, { person, sessions: {}, asking: {} });
  if (person === "new") state.stranger = meetStranger();
  draw();
}

/** Back to the choice of people. The next "someone new" is again a person never seen. */
function leave() {
  if (state.busy) return;
  Object.assign(state, { failure: null, consent: null });
  choose(state.person);
  phone.focus("input:checked");
}

function closeSheet() {
  if (state.consent) state.consent = null;
  else state.failure.closed = true;
  draw();
  phone.focus("button");
}

/** The account and password of a person who has them. */
function credentialsOf(person) {
  const { username, password } = accountOf(state.accounts, person) ?? {};
  return username ? { username, password } : {};
}

const ownName = () => credentialsOf(personId()).username;

/** The ticket that the form came with, for one use. */
function spendTicket() {
  const asking = state.asking[state.app];
  const ticket = asking?.ticket;
  if (asking) asking.ticket = null;
  return ticket;
}

function bind() {
  if (!state.busy) logIn({ by: "password", ...state.form, ticket: spendTicket() });
}

async function askForPhone() {
  if (state.busy) return;
  state.consent = { number: await phoneNumber(personId()) };
  draw();
}

function givePhone() {
  if (state.busy) return;
  phone.focus(".primary");
  logIn({ by: "phone", ticket: spendTicket() });
}

async function breakWeChat(name) {
  if (state.busy) return;
  await call("PUT", "/_simulator/faults", { faults: [FAULTS[name]] });
  state.fault = name;
  await logIn();
}

async function heal() {
  await call("DELETE", "/_simulator/faults");
  state.fault = null;
  say(words().healed);
  draw();
}

// ---- drawing ----

function draw() {
  const { app, attempt: evidence, accounts, fault, reveal, busy } = state;
  if (isReady) keepPhone({ app, person: state.person, stranger: state.stranger, sessions: state.sessions });
  diagram.draw(evidence, readSteps(evidence), reveal, busy && reveal >= 0);
  diagram.markWeChat(fault && words().wechatState[fault]);
  byId("tab-login").classList.toggle("running", busy);
  byId("tab-faults").classList.toggle("ill", Boolean(fault));
  drawElapsed();
  accountsTable.draw(accounts);
  peerPanel.draw(accounts);
  phone.draw({ ...state, personId: personId(), session: state.sessions[app], asking: state.asking[app] });
  faultPanel.draw({ ...state, lastCode: state.lastCodes[app] });
  for (const panel of panels) panel.draw();
}

function drawElapsed() {
  drawTiming(state.attempt, state.reveal);
}

async function start() {
  dress(() => {
    tabs.label(words().storyHeading, (name) => words().tabs[name]);
    draw();
    tokenView.rebuild();
  });
  const { sessions = {}, ...phone } = keptPhone();
  Object.assign(state, phone);
  draw();
  await refreshAccounts();
  await takeUp(sessions);
  await call("DELETE", "/_simulator/faults"); // a page that was left while WeChat was down must not find it so
  document.addEventListener("visibilitychange", () => document.hidden || useService()); // a mini program's onShow
  isReady = true;
  document.documentElement.dataset.ready = "true";
}

start();

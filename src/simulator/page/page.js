// The page of `wxmint demo`: plays the mini program, and shows what really happens when somebody logs in.
// This file holds the state and the course of a login; phone.js, steps.js, faults.js and token.js draw it.

import { call, fetchTrust, journalEnd, journalOf, knownAbout } from "./asking.js";
import { beat, byId, copyText, el } from "./dom.js";
import { adviceFor, FaultPanel, FAULTS, inventCode } from "./faults.js";
import { meetStranger, personName, Phone } from "./phone.js";
import { Diagram, drawTiming, readSteps } from "./steps.js";
import { now, TokenView } from "./token.js";
import { verify } from "./verify.js";
import { words } from "./words.js";

const PACE = 230; // ms between two lights: what really takes 5 ms would be over before the eye has found it
const GLANCE = 400; // ms between two looks at the journal while an answer is late
const CLAIMED = 3; // steps shown once WeChat is known to have been asked
const ANSWERED = 6; // steps shown once the mini program has its answer
const ALL = 7;

const state = {
  person: "lin",
  stranger: null, // whoever "someone new" is this time
  attempt: null, // the evidence of the latest login, see readSteps
  reveal: 0, // how many of its steps are shown
  busy: false,
  session: null, // the latest login that succeeded: { person, stranger, answer, at }
  failure: null, // the latest one that did not: { id, code, answer, readyAt }
  fault: null, // which of FAULTS is on
  lastCode: null,
};
let failures = 0;

const diagram = new Diagram(byId("diagram"));
const tokenView = new TokenView(byId("token-view"));
const phone = new Phone({ choose, leave, logIn: () => logIn(), close: closeSheet });
const faultPanel = new FaultPanel({
  breakWeChat,
  heal,
  sendAgain: () => logIn({ given: "reused", code: state.lastCode }),
  sendInvented: () => logIn({ given: "invented", code: inventCode() }),
});

// ---- a login, in the order in which it happens ----

/** Logs the chosen person in; with `given` ("reused" or "invented") and `code` without asking wx.login for one. */
async function logIn({ given, code } = {}) {
  if (state.busy) return;
  Object.assign(state, { busy: true, failure: null, reveal: 0, attempt: { given, journal: [] } });
  draw();
  const ticking = setInterval(drawElapsed, 100);
  try {
    await runAttempt(state.attempt, code);
  } finally {
    clearInterval(ticking);
    state.busy = false;
    draw();
  }
}

async function runAttempt(attempt, givenCode) {
  const person = state.person === "new" ? state.stranger.id : state.person;
  const since = await journalEnd();
  const code = givenCode ?? (await mintCode(attempt, person));
  await reveal(1);
  if (!code) return fail(attempt.minted);
  state.lastCode = code;
  await sendLogin(attempt, code, since);
  attempt.journal = await journalOf(code, since, attempt.login.answer?.body?.code !== "code_used");
  if (attempt.login.answer?.status === 200) return succeed(attempt, person);
  await revealTo(ALL);
  return fail(attempt.login);
}

async function mintCode(attempt, person) {
  attempt.minted = await call("POST", "/_simulator/codes", { person });
  return attempt.minted.answer?.body?.codes?.[0];
}

async function sendLogin(attempt, code, since) {
  attempt.began = performance.now();
  attempt.sent = { method: "POST", path: "/login", body: { code } };
  draw();
  const watching = setInterval(() => watchWeChat(attempt, code, since), GLANCE);
  attempt.login = await call("POST", "/login", { code });
  clearInterval(watching);
}

/** While wxmint has not answered: once the WeChat stand-in has been asked, that is where the login waits. */
async function watchWeChat(attempt, code, since) {
  const entries = await journalOf(code, since, false);
  if (attempt.login || !entries.length) return;
  attempt.journal = entries;
  state.reveal = CLAIMED;
  draw();
}

async function succeed(attempt, person) {
  const answer = attempt.login.answer.body;
  await revealTo(ANSWERED);
  state.session = { person: state.person, stranger: state.stranger, answer, at: now() };
  say([words().hello(personName(state.session)), `${words().userId} ${answer.user_id}`].join(words().stop));
  draw();
  const trust = await fetchTrust(attempt);
  const began = performance.now();
  attempt.checks = await verify(answer.access_token, trust, now());
  attempt.verifyMs = performance.now() - began;
  await revealTo(ALL);
  await showToken(answer, trust, await knownAbout(person, attempt.journal.at(-1)?.query.appid));
}

async function showToken(answer, trust, known) {
  byId("token-empty").hidden = true;
  byId("token-view").hidden = false;
  await tokenView.show({ token: answer.access_token, userId: answer.user_id, trust, known });
}

function fail({ answer }) {
  const code = answer ? (answer.body?.code ?? "other") : "unreachable";
  const wait = Number(answer?.headers["retry-after"] ?? 0);
  failures += 1;
  state.failure = { id: failures, code, answer, readyAt: performance.now() + wait * 1000 };
  say(adviceFor(code).join(words().stop));
}

async function reveal(count) {
  state.reveal = count;
  draw();
  await beat(PACE);
}

async function revealTo(count) {
  while (state.reveal < count) await reveal(state.reveal + 1);
}

/** Tells people who listen to the page instead of looking at it. */
function say(text) {
  byId("said").textContent = text;
}

// ---- what the buttons do ----

function choose(person) {
  state.person = person;
  if (person === "new") state.stranger = meetStranger();
  draw();
}

/** Back to the choice of people. The next "someone new" is again a person never seen. */
function leave() {
  if (state.busy) return;
  Object.assign(state, { session: null, failure: null });
  choose(state.person);
  phone.focus("input:checked");
}

function closeSheet() {
  byId("sheet").hidden = true;
  phone.focus("button");
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
  diagram.draw(readSteps(state.attempt), state.reveal, state.busy);
  diagram.markWeChat(state.fault && words().wechatState[state.fault]);
  drawElapsed();
  phone.draw(state);
  faultPanel.draw(state);
}

function drawElapsed() {
  drawTiming(state.attempt, state.reveal);
}

// ---- language and colours ----

function keep(name, value) {
  try {
    localStorage.setItem(`wxmint.${name}`, value);
  } catch {
    // storage is switched off: the choice lasts as long as the page
  }
}

function switchLanguage() {
  const root = document.documentElement;
  root.lang = root.lang.startsWith("zh") ? "en" : "zh-CN";
  keep("language", root.lang);
  speak();
  tokenView.rebuild();
}

function speak() {
  const text = words();
  document.title = text.title;
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = text[element.dataset.words];
  byId("language").textContent = text.language;
  byId("language").lang = text.otherLanguage;
  byId("theme").setAttribute("aria-label", text.themeLabel);
  byId("theme").title = text.themeLabel;
  drawSnippet();
  diagram.build();
  draw();
}

/** The snippet with its comments set back. */
function drawSnippet() {
  const pieces = words().snippet(location.origin).split(/((?:^|(?<= ))\/\/ .*$)/m);
  const spans = pieces.map((piece, n) => (n % 2 ? el("span", { className: "comment" }, piece) : piece));
  byId("snippet").replaceChildren(...spans);
}

const systemDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : systemDark.matches;
}

function drawTheme() {
  byId("theme").setAttribute("aria-pressed", String(isDark()));
}

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  keep("theme", document.documentElement.dataset.theme);
  drawTheme();
}

function drawClock() {
  byId("clock").textContent = new Date().toLocaleTimeString("en-GB", { hour: "numeric", minute: "2-digit" });
}

async function start() {
  byId("language").addEventListener("click", switchLanguage);
  byId("theme").addEventListener("click", switchTheme);
  systemDark.addEventListener("change", drawTheme);
  const copy = byId("copy-snippet");
  copy.addEventListener("click", () => copyText(byId("snippet").textContent, copy, byId("snippet"), words().copied));
  setInterval(drawClock, 10_000);
  drawClock();
  drawTheme();
  speak();
  await call("DELETE", "/_simulator/faults"); // a page that was left while WeChat was down must not find it so
  document.documentElement.dataset.ready = "true";
}

start();

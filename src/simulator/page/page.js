// The page of `wxmint demo`: plays the mini program, and shows what really happens when somebody logs in.

import { beat, byId, copyText, duration, el, prettyJson } from "./dom.js";
import { Diagram, drawTiming, readSteps } from "./steps.js";
import { now, TokenView } from "./token.js";
import { verify } from "./verify.js";
import { words } from "./words.js";

const CODE2SESSION = "/sns/jscode2session";
const FAULTS = {
  stall: { path: CODE2SESSION, kind: "stall" },
  reset: { path: CODE2SESSION, kind: "reset" },
  html: { path: CODE2SESSION, kind: "html" },
  busy: { path: CODE2SESSION, kind: "errcode", errcode: -1 },
};
const WAIT_CODES = ["wechat_unavailable", "store_unavailable", "accounts_unavailable", "rate_limited", "unreachable"];
const AGAIN_CODES = ["code_used", "code_invalid", "invalid_token"];
const SHOWN_HEADERS = ["content-type", "cache-control", "etag", "retry-after", "x-request-id"];
const PACE = 230; // ms between two lights: what really takes 5 ms would be over before the eye has found it
const ALL = 7; // steps

const state = {
  person: "lin",
  stranger: null, // { id, index of surname, index of given name }: whoever "someone new" is this time
  attempt: null, // the evidence of the latest login, see readSteps
  reveal: 0, // how many steps are shown
  busy: false,
  session: null, // the latest login that succeeded: { person, answer }
  failure: null, // the latest one that did not: { code, problem, answer, readyAt }
  fault: null, // the name in FAULTS that is on
  lastCode: null,
};
const diagram = new Diagram(byId("diagram"));
const tokenView = new TokenView(byId("token-view"));

// ---- asking -------------------------------------------------------------------------------------------------------

/** Sends a request and returns it with its answer and the time between, as the page saw them. */
async function call(method, path, body) {
  const request = { method, path, body };
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const began = performance.now();
  try {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    // The keys of a demo that was stopped and started again must not come out of the browser's cache.
    const response = await fetch(path, { method, headers, body: sent, cache: "no-cache" });
    const text = await response.text();
    return { request, answer: readResponse(response, text), ms: performance.now() - began };
  } catch {
    return { request, answer: null, ms: performance.now() - began };
  }
}

function readResponse(response, text) {
  const headers = Object.fromEntries(SHOWN_HEADERS.filter((name) => response.headers.has(name)).map((name) => [name, response.headers.get(name)]));
  const isJson = /json/.test(headers["content-type"] ?? "");
  return { status: response.status, headers, text, body: isJson ? JSON.parse(text) : undefined };
}

async function journalEnd() {
  const { answer } = await call("GET", "/_simulator/journal?since=0");
  return answer?.body?.next ?? 0;
}

/** The exchanges of this code at the WeChat stand-in. One it has just been left waiting in may be written a moment late. */
async function journalOf(code, since, expected) {
  for (let tries = 0; ; tries += 1) {
    const { answer } = await call("GET", `/_simulator/journal?since=${since}`);
    const entries = (answer?.body?.entries ?? []).filter((entry) => entry.path === CODE2SESSION && entry.query.js_code === code);
    if (entries.length || !expected || tries === 4) return entries;
    await beat(100);
  }
}

/** What the simulator told wxmint about this person, to search the token for. */
async function knownAbout(person, appid) {
  const { answer } = await call("GET", "/_simulator/people");
  const found = answer?.body?.people?.find(({ name }) => name === person);
  return { ...found?.apps?.[appid], phone: found?.phone };
}

// ---- logging in ---------------------------------------------------------------------------------------------------

/** Logs the chosen person in; with `given` ("reused" or "invented") and `code` without asking wx.login for one. */
async function logIn({ given, code } = {}) {
  if (state.busy) return;
  Object.assign(state, { busy: true, failure: null, reveal: 0, attempt: { given, journal: [] } });
  const ticking = setInterval(drawWaiting, 100);
  draw();
  try {
    await runAttempt(state.attempt, code);
  } finally {
    clearInterval(ticking);
    state.busy = false;
    draw();
  }
}

async function runAttempt(attempt, givenCode) {
  const person = personId();
  const since = await journalEnd();
  const code = givenCode ?? (await mintCode(attempt, person));
  if (!code) return fail(attempt, attempt.minted);
  state.lastCode = code;
  await reveal(1);
  attempt.began = performance.now();
  attempt.sent = { method: "POST", path: "/login", body: { code } };
  draw();
  attempt.login = await call("POST", "/login", { code });
  const expected = attempt.login.answer?.body?.code !== "code_used";
  attempt.journal = await journalOf(code, since, expected);
  if (attempt.login.answer?.status === 200) await succeed(attempt, person);
  else await fail(attempt, attempt.login);
}

async function mintCode(attempt, person) {
  attempt.minted = await call("POST", "/_simulator/codes", { person });
  return attempt.minted.answer?.body?.codes?.[0];
}

async function succeed(attempt, person) {
  const { access_token: token, user_id: userId } = attempt.login.answer.body;
  await revealTo(6);
  state.session = { person: state.person, stranger: state.stranger, answer: attempt.login.answer.body, at: now() };
  say(`${words().hello(personName(state.session))}. ${words().userId} ${userId}`);
  draw();
  const trust = await fetchTrust(attempt);
  const began = performance.now();
  attempt.checks = await verify(token, trust, now());
  attempt.verifyMs = performance.now() - began;
  await revealTo(ALL);
  const appid = attempt.journal.at(-1)?.query.appid;
  byId("token-view").hidden = false;
  byId("token-empty").hidden = true;
  await tokenView.show({ token, trust, userId, known: await knownAbout(person, appid) });
}

/** What a service of yours would be configured with: the issuer's name and its keys. By default the audience is the issuer. */
async function fetchTrust(attempt) {
  attempt.metadata = await call("GET", "/.well-known/openid-configuration");
  const { issuer, jwks_uri: address } = attempt.metadata.answer?.body ?? {};
  // The metadata may name the issuer as localhost where the page was opened as 127.0.0.1; the path is the same.
  attempt.keys = await call("GET", address ? new URL(address).pathname : "/.well-known/jwks.json");
  return { issuer, audience: issuer, jwks: attempt.keys.answer?.body ?? { keys: [] } };
}

async function fail(attempt, exchange) {
  attempt.login ??= { ...exchange, ms: 0 };
  const problem = exchange?.answer?.body;
  const wait = problem?.retry_after ?? Number(exchange?.answer?.headers["retry-after"] ?? 0);
  await revealTo(ALL);
  const code = exchange?.answer ? (problem?.code ?? "other") : "unreachable";
  state.failure = { code, problem, answer: exchange?.answer, readyAt: performance.now() + wait * 1000 };
  say(`${adviceFor(code)[0]}. ${adviceFor(code)[1]}`);
}

async function reveal(count) {
  state.reveal = count;
  draw();
  await beat(PACE);
}

async function revealTo(count) {
  while (state.reveal < count) await reveal(state.reveal + 1);
}

function say(text) {
  byId("said").textContent = text;
}

// ---- people -------------------------------------------------------------------------------------------------------

function meetStranger() {
  const random = crypto.getRandomValues(new Uint32Array(3));
  const { surnames, givenNames } = words();
  state.stranger = {
    id: `guest-${random[0].toString(36)}${random[1].toString(36)}`,
    surname: random[1] % surnames.length,
    given: random[2] % givenNames.length,
  };
}

const personId = () => (state.person === "new" ? state.stranger.id : state.person);

/** The name in the page's language; surname and given name lists run in parallel in both. */
function personName({ person, stranger }) {
  if (person !== "new") return words().people[person];
  const [surname, given] = [words().surnames[stranger.surname], words().givenNames[stranger.given]];
  return words().fullName(surname, given);
}

/** "Someone new" is a person never seen before each time, so a spent stranger is replaced by the next. */
function choose(person) {
  state.person = person;
  if (person === "new") meetStranger();
  draw();
}

// ---- faults -------------------------------------------------------------------------------------------------------

async function breakWeChat(name) {
  if (state.busy) return;
  await call("PUT", "/_simulator/faults", { faults: [FAULTS[name]] });
  state.fault = name;
  await logIn();
}

async function healWeChat() {
  await call("DELETE", "/_simulator/faults");
  state.fault = null;
  say(words().healed);
  draw();
}

/** 32 characters as WeChat's codes have them, but WeChat has never heard of this one. */
function inventCode() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const adviceFor = (code) => words().advice[code] ?? words().advice.other;

// ---- drawing ------------------------------------------------------------------------------------------------------

function draw() {
  diagram.draw(readSteps(state.attempt), state.reveal, state.busy);
  diagram.markWeChat(state.fault && words().wechatState[state.fault]);
  drawWaiting();
  drawPhone();
  drawFaults();
  drawProblem();
}

function drawWaiting() {
  const { attempt } = state;
  drawTiming(attempt, state.reveal, attempt?.began ? performance.now() - attempt.began : 0);
}

let drawnScreen = "";

/** Redraws the phone's screen only if it shows something else now, so that focus and choices are not lost. */
function drawPhone() {
  const { session, failure, busy, attempt } = state;
  const shown = JSON.stringify([document.documentElement.lang, session, state.stranger, state.person]);
  if (shown !== drawnScreen) {
    const focused = byId("screen").contains(document.activeElement) ? document.activeElement.dataset.testid : null;
    byId("screen").replaceChildren(...(session ? memberScreen(session) : welcomeScreen()));
    drawnScreen = shown;
    if (focused) (byId("screen").querySelector(`[data-testid="${focused}"]`) ?? byId("screen").querySelector("button"))?.focus();
  }
  const button = byId("screen").querySelector(".primary");
  button.setAttribute("aria-disabled", String(busy));
  button.classList.toggle("busy", busy);
  button.querySelector("span").textContent = busy && attempt ? words().loggingIn : session ? words().again : words().logIn;
  drawSheet(failure);
}

function welcomeScreen() {
  const text = words();
  const people = ["lin", "chen", "wang", "new"].map(personChoice);
  return [
    el("div", { className: "picture" }, teapot()),
    el("p", { className: "welcome" }, text.welcome),
    el("p", { className: "small" }, text.welcomeSmall),
    el("fieldset", { className: "people" }, el("legend", {}, text.who), people),
    primaryButton("login", () => logIn()),
  ];
}

function personChoice(person) {
  const input = el("input", { type: "radio", name: "person", value: person, checked: person === state.person, "data-testid": `person-${person}` });
  input.addEventListener("change", () => choose(person));
  const name = person === "new" ? words().someoneNew : words().people[person];
  return el("label", { className: `person ${person}` }, input, avatar(person, state.stranger), el("span", {}, name));
}

/** A round picture with the first character of the name, as WeChat people without a photo have it. */
function avatar(person, stranger) {
  const unknown = person === "new" && !stranger;
  const letter = unknown || (person === "new" && !state.session) ? "+" : personName({ person, stranger })[0];
  return el("i", { className: `avatar ${person}`, "aria-hidden": "true" }, letter);
}

function primaryButton(testid, onPress) {
  const button = el("button", { type: "button", className: "primary", "data-testid": testid }, el("i", { className: "spinner", "aria-hidden": "true" }), el("span"));
  button.addEventListener("click", onPress);
  return button;
}

function memberScreen(session) {
  const text = words();
  const { user_id: userId, expires_in: life, new_user: isNew } = session.answer;
  const until = new Date((session.at + life) * 1000).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  const leave = el("button", { type: "button", className: "plain", "data-testid": "leave" }, text.leave);
  leave.addEventListener("click", leaveShop);
  return [
    el("div", { className: "greeting" }, avatar(session.person, session.stranger), el("strong", { "data-testid": "member-name" }, text.hello(personName(session)))),
    el(
      "div",
      { className: "card-member" },
      el("span", { className: "card-title" }, text.member),
      el("span", { className: isNew ? "badge new" : "badge", "data-testid": "member-badge", "data-new": String(isNew) }, isNew ? text.newMember : text.knownMember),
      el("span", { className: "leaves", "aria-hidden": "true" }, [1, 2, 3, 4, 5, 6].map((n) => el("i", { className: n === 1 ? "leaf full" : "leaf" }))),
      el("span", { className: "card-label" }, text.userId),
      el("code", { "data-testid": "member-user-id" }, userId),
    ),
    el("p", { className: "small" }, isNew ? text.newSmall : text.knownSmall),
    el("p", { className: "small until" }, `${text.validUntil} ${until}`),
    primaryButton("log-in-again", () => logIn()),
    leave,
  ];
}

/** Back to the choice of people. The next "someone new" is again a person never seen. */
function leaveShop() {
  if (state.busy) return;
  state.session = null;
  state.failure = null;
  if (state.person === "new") meetStranger();
  draw();
  byId("screen").querySelector("input:checked").focus();
}

let drawnFailure = null;

/** The mini program's own message to the person, over whatever the screen shows. */
function drawSheet(failure) {
  const sheet = byId("sheet");
  const shown = failure && [failure, document.documentElement.lang].join();
  if (failure !== drawnFailure?.failure || shown !== drawnFailure?.shown) {
    drawnFailure = { failure, shown };
    sheet.hidden = !failure;
    sheet.replaceChildren(...(failure ? sheetContent(failure) : []));
  }
  drawRetry();
}

function sheetContent({ code }) {
  const says = words().shopSays;
  const line = WAIT_CODES.includes(code) ? says.wait : AGAIN_CODES.includes(code) ? says.again : says.refused;
  const retry = el("button", { type: "button", className: "solid", "data-testid": "retry" });
  retry.addEventListener("click", () => retry.dataset.ready === "true" && logIn());
  const close = el("button", { type: "button", className: "plain", "data-testid": "close-sheet" }, words().close);
  close.addEventListener("click", closeSheet);
  return [el("p", { "data-testid": "phone-message" }, line), retry, close];
}

function closeSheet() {
  byId("sheet").hidden = true;
  byId("screen").querySelector("button").focus();
}

/** The retry button keeps to Retry-After: it counts down, and does nothing until then. */
function drawRetry() {
  const retry = byId("sheet").querySelector("[data-testid=retry]");
  if (!retry || !state.failure) return;
  const left = Math.ceil((state.failure.readyAt - performance.now()) / 1000);
  const fresh = AGAIN_CODES.includes(state.failure.code) ? words().freshCode : words().retry;
  retry.textContent = left > 0 ? words().retryIn(left) : fresh;
  retry.dataset.ready = String(left <= 0);
  retry.setAttribute("aria-disabled", String(left > 0));
}

function drawFaults() {
  const text = words();
  if (byId("faults").lang !== document.documentElement.lang) buildFaults();
  const same = byId("same-code");
  same.disabled = !state.lastCode;
  same.title = state.lastCode ? "" : text.needsCode;
  for (const name of Object.keys(FAULTS)) byId(`fault-${name}`).setAttribute("aria-pressed", String(state.fault === name));
  byId("heal").hidden = !state.fault;
  byId("pulse").textContent = state.fault ? text.ill(text.wechatState[state.fault]) : text.well;
  byId("pulse").dataset.state = state.fault ? "ill" : "well";
}

function buildFaults() {
  const text = words();
  const chip = (id, label, onPress) => {
    const button = el("button", { type: "button", className: "chip", id, "data-testid": id }, label);
    button.addEventListener("click", onPress);
    return button;
  };
  const codes = [
    chip("same-code", text.sameCode, () => logIn({ given: "reused", code: state.lastCode })),
    chip("wrong-code", text.wrongCode, () => logIn({ given: "invented", code: inventCode() })),
  ];
  const ills = Object.keys(FAULTS).map((name) => chip(`fault-${name}`, text.faults[name], () => breakWeChat(name)));
  const heal = el("button", { type: "button", className: "solid heal", id: "heal", "data-testid": "heal" }, text.heal);
  heal.addEventListener("click", healWeChat);
  byId("faults").lang = document.documentElement.lang;
  byId("faults").replaceChildren(
    el("div", { className: "buttons", role: "group", "aria-label": text.codesGroup }, el("span", { className: "small" }, text.codesGroup), codes),
    el("div", { className: "buttons", role: "group", "aria-label": text.wechatGroup }, el("span", { className: "small" }, text.wechatGroup), ills, heal),
  );
}

function drawProblem() {
  const { failure } = state;
  const box = byId("problem");
  box.dataset.code = failure?.code ?? "";
  if (!failure) return box.replaceChildren(el("p", { className: "small" }, words().calm));
  const [headline, advice] = adviceFor(failure.code);
  const { answer } = failure;
  const wait = answer?.headers["retry-after"];
  const line = [answer?.status, failure.code, wait && `Retry-After: ${wait}`].filter(Boolean);
  return box.replaceChildren(
    el("div", { className: "in-words" }, el("p", { className: "codes" }, line.map((part) => el("code", {}, String(part)))), el("strong", {}, headline), el("p", {}, el("span", { className: "small" }, words().shouldDo), " ", advice)),
    answer ? el("figure", { className: "message" }, el("figcaption", {}, words().problem), el("pre", {}, answer.body ? prettyJson(answer.body) : answer.text)) : "",
  );
}

const SVG = "http://www.w3.org/2000/svg";

function teapot() {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 160 110");
  picture.setAttribute("aria-hidden", "true");
  const shapes = [
    ["steam", "M66 34c-6-8 6-12 0-20M82 32c-6-8 6-12 0-20M98 34c-6-8 6-12 0-20"],
    ["cup", "M42 46h78c0 32-14 50-39 50S42 78 42 46z"],
    ["handle", "M119 54c18-4 22 24-6 28"],
    ["saucer", "M34 102h94"],
    ["leaf-back", "M74 78c-3-17 8-24 26-25 0 16-8 26-23 23"],
    ["vein", "M73 80 90 63"],
  ];
  for (const [name, path] of shapes) {
    const shape = document.createElementNS(SVG, "path");
    shape.setAttribute("class", name);
    shape.setAttribute("d", path);
    picture.append(shape);
  }
  return picture;
}

// ---- language, colours, start -------------------------------------------------------------------------------------

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
  byId("language").setAttribute("aria-label", text.languageLabel);
  byId("language").lang = text.language === "中文" ? "zh-CN" : "en";
  byId("theme").setAttribute("aria-label", text.themeLabel);
  byId("theme").title = text.themeLabel;
  drawSnippet();
  diagram.build();
  draw();
}

/** The snippet with its comments set back. */
function drawSnippet() {
  const pieces = words().snippet(location.origin).split(/((?:^|(?<= ))\/\/ .*$)/m);
  byId("snippet").replaceChildren(...pieces.map((piece, n) => (n % 2 ? el("span", { className: "comment" }, piece) : piece)));
}

const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : systemDark.matches);

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
  byId("copy-snippet").addEventListener("click", () => copyText(byId("snippet").textContent, byId("copy-snippet"), byId("snippet"), words().copied));
  setInterval(drawRetry, 250);
  setInterval(drawClock, 10_000);
  drawClock();
  drawTheme();
  speak();
  await call("DELETE", "/_simulator/faults"); // a page that was left while WeChat was down must not find it so
  document.documentElement.dataset.ready = "true";
}

start();

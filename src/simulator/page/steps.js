// The login as a sequence diagram. `readSteps` turns the evidence of one attempt into seven steps, and knows no
// element; `Diagram` draws them, and knows no request.

import { byId, duration, el, prettyJson } from "./dom.js";
import { words } from "./words.js";

const [MINI_PROGRAM, WXMINT, WECHAT, STORE, SERVICES] = [0, 1, 2, 3, 4];

/** Who speaks to whom; `both` where the answer belongs to the same step. */
const ROUTES = [
  { from: MINI_PROGRAM, to: WECHAT, both: true },
  { from: MINI_PROGRAM, to: WXMINT },
  { from: WXMINT, to: STORE, both: true },
  { from: WXMINT, to: WECHAT, both: true },
  { from: WXMINT, to: STORE, both: true },
  { from: WXMINT, to: MINI_PROGRAM, answer: true },
  { from: SERVICES, to: WXMINT, both: true },
];

/**
 * The seven steps of an attempt, each `{ state, ms, notes, exchanges, label }`.
 * An attempt holds what was really sent and answered: `minted` or `given` (the code), `login`, `journal` (the
 * simulator's entries for this code), `metadata`, `keys` and `checks`; what is missing has not happened.
 */
export function readSteps(attempt) {
  return [readCode, readRequest, readClaim, readWeChat, readBinding, readAnswer, readVerifying].map((read, n) => {
    const step = { state: "idle", ms: null, notes: [], exchanges: [], label: words().steps[n + 1].label };
    return attempt ? { ...step, ...read(attempt, words().steps[n + 1]) } : step;
  });
}

function readCode({ given, minted }, text) {
  if (given) return { state: "skipped", notes: [text[given]] };
  if (!minted) return { notes: [text.note] };
  return { state: minted.answer?.status === 200 ? "done" : "failed", ms: minted.ms, notes: [text.note], exchanges: [minted] };
}

function readRequest({ login, sent, journal }, text) {
  if (!login) return { state: journal.length ? "done" : "idle", notes: [text.note], exchanges: sent ? [{ request: sent }] : [] };
  return { state: login.answer ? "done" : "failed", notes: [text.note], exchanges: [{ request: login.request }] };
}

function readClaim({ login, journal }, text) {
  if (journal.length || login?.answer?.status === 200) return { state: "done", notes: [text.note] };
  if (!login?.answer) return { state: login ? "unseen" : "idle", notes: [text.note] };
  if (login.answer.body?.code === "code_used") return { state: "failed", notes: [text.note, text.refused] };
  return { state: "unseen", notes: [text.note, text.unseen] };
}

function readWeChat({ login, journal }, text) {
  if (login && !login.answer) return { state: "unseen", notes: [text.note] };
  if (!journal.length) return login ? { state: "skipped", notes: [text.skipped] } : { notes: [text.note] };
  const notes = [text.note];
  if (journal.length > 1) notes.push(text.twice);
  const last = journal.at(-1);
  if (last.fault) notes.push(text.fault(typeof last.fault === "string" ? last.fault : JSON.stringify(last.fault)));
  return { state: gaveOpenid(last) ? "done" : "failed", ms: wechatMs(journal), notes, exchanges: journal.map(asExchange) };
}

function readBinding({ login }, text) {
  if (!login) return { notes: [text.note] };
  return login.answer?.status === 200 ? { state: "done", notes: [text.note] } : { state: "skipped", notes: [text.skipped] };
}

function readAnswer({ login }, text) {
  if (!login) return {};
  const good = login.answer?.status === 200;
  return {
    state: good ? "done" : "failed",
    ms: login.ms,
    label: good ? text.label : login.answer ? text.refused(login.answer.status) : text.silent,
    exchanges: [{ answer: login.answer, silent: !login.answer }],
  };
}

function readVerifying({ login, metadata, keys, checks, verifyMs }, text) {
  if (login && login.answer?.status !== 200) return { state: "skipped", notes: [text.skipped] };
  if (!checks) return { notes: [text.note] };
  const accepted = checks.every((check) => check.ok);
  const ms = metadata.ms + keys.ms + verifyMs;
  return { state: accepted ? "done" : "failed", ms, notes: [text.note], exchanges: [metadata, keys] };
}

/** The time that WeChat took to answer, or null where it never did. */
function wechatMs(journal) {
  const answered = journal.filter((entry) => entry.status);
  return answered.length ? answered.reduce((sum, entry) => sum + entry.took_ms, 0) : null;
}

/** Whether WeChat's answer let the login go on: no errcode and an openid (it says status 200 to errors as well). */
function gaveOpenid(entry) {
  try {
    const body = JSON.parse(entry.body);
    return !Number(body.errcode ?? 0) && Boolean(body.openid);
  } catch {
    return false;
  }
}

function asExchange(entry) {
  const query = Object.entries(entry.query).map(([name, value]) => `${name}=${value}`);
  const request = { method: entry.method, path: `${entry.path}?${query.join("&")}` };
  if (!entry.status) return { request, silent: true };
  const headers = entry.content_type ? { "content-type": entry.content_type } : {};
  return { request, answer: { status: entry.status, headers, text: entry.body } };
}

/** The diagram on the page: made once per language, then brought up to date in place, so opened steps stay open. */
export class Diagram {
  constructor(container) {
    this.container = container;
    this.build();
  }

  build() {
    const open = this.rows?.map((row) => row.root.open) ?? [];
    this.heads = words().parties.map(([name, caption]) =>
      el("li", { className: "party" }, el("strong", {}, name), el("span", {}, caption)),
    );
    this.rows = ROUTES.map((route, n) => buildRow(route, n, open[n] ?? false));
    const rails = el("div", { className: "rails", "aria-hidden": "true" }, words().parties.map(() => el("i")));
    const list = el("ol", { className: "steps" }, this.rows.map((row) => el("li", {}, row.root)));
    this.container.replaceChildren(el("ul", { className: "parties" }, this.heads), el("div", { className: "lanes" }, rails, list));
  }

  /** Shows `steps` up to `reveal`; the one after it is under way if `busy`. */
  draw(steps, reveal, busy) {
    steps.forEach((step, n) => {
      const state = n < reveal ? step.state : n === reveal && busy ? "active" : "idle";
      drawRow(this.rows[n], step, state, n < reveal);
    });
  }

  /** Marks WeChat's head while a fault is on. */
  markWeChat(ill) {
    this.heads[WECHAT].classList.toggle("ill", Boolean(ill));
    this.heads[WECHAT].lastChild.textContent = ill ?? words().parties[WECHAT][1];
  }
}

function buildRow(route, n, open) {
  const label = el("span", { className: "label" });
  const ms = el("span", { className: "ms" });
  const state = el("span", { className: "hidden" });
  const arrow = buildArrow(route);
  const body = el("div", { className: "step-body" });
  const [from, to] = [route.from, route.to].map((party) => words().parties[party][0]);
  const summary = el(
    "summary",
    {},
    el("span", { className: "number", "aria-hidden": "true" }, String(n + 1)),
    el("span", { className: "track" }, label, arrow),
    el("span", { className: "hidden" }, `, ${words().fromTo(from, to)}, `),
    state,
    el("span", { className: "aside" }, ms, el("i", { className: "chevron", "aria-hidden": "true" })),
  );
  for (const element of [label, arrow]) {
    // Set from script: the page's Content-Security-Policy allows no style attributes.
    element.style.setProperty("--left", Math.min(route.from, route.to));
    element.style.setProperty("--span", Math.abs(route.from - route.to));
  }
  const root = el("details", { className: "step", open, "data-testid": `step-${n + 1}` }, summary, body);
  return { number: n + 1, root, label, ms, state, body };
}

function buildArrow({ from, to, both, answer }) {
  const direction = from < to ? "rightward" : "leftward";
  const lines = el("i", { className: answer ? "line dashed" : "line" });
  const back = both ? el("i", { className: "line dashed back" }) : null;
  return el("span", { className: `arrow ${direction}`, "aria-hidden": "true" }, lines, back, el("i", { className: "dot" }));
}

function drawRow(row, step, state, revealed) {
  row.root.dataset.state = state;
  row.label.textContent = revealed ? step.label : words().steps[row.number].label;
  row.state.textContent = words().states[state];
  row.ms.textContent = revealed && step.ms !== null ? duration(step.ms) : (words().asides[state] ?? "");
  const exchanges = revealed || state === "active" ? step.exchanges.map(drawExchange) : [];
  const quiet = exchanges.length || step.notes.length ? null : el("p", { className: "small" }, words().nothingYet);
  row.body.replaceChildren(...step.notes.map((note) => el("p", {}, note)), ...exchanges, ...(quiet ? [quiet] : []));
}

/** One request with its answer, or the half that belongs here. */
export function drawExchange({ request, answer, silent }) {
  return el(
    "div",
    { className: "exchange" },
    request ? drawMessage(words().request, `${request.method} ${request.path}`, {}, request.body) : null,
    answer ? drawMessage(words().answer, String(answer.status), answer.headers, answer.body ?? answer.text) : null,
    silent ? el("p", { className: "small silent" }, words().noAnswer) : null,
  );
}

function drawMessage(title, firstLine, headers, body) {
  const head = Object.entries(headers).map(([name, value]) => [el("span", { className: "head" }, `${name}: ${value}`), "\n"]);
  const text = body === undefined || body === null ? [] : typeof body === "string" ? [body] : prettyJson(body);
  return el(
    "figure",
    { className: "message" },
    el("figcaption", {}, title),
    el("pre", {}, el("b", {}, firstLine), "\n", head.flat(), text.length ? "\n" : "", text),
  );
}

/** The line under the diagram: what was measured, and that the lights are slower than the truth. */
export function drawTiming(attempt, reveal) {
  const line = byId("timing");
  if (!attempt?.began) line.textContent = attempt ? "" : words().waiting;
  else if (!attempt.login) line.textContent = words().running(duration(performance.now() - attempt.began));
  else line.textContent = measuredParts(attempt, reveal).join(words().between);
}

function measuredParts({ login, journal }, reveal) {
  const parts = [words().measured(duration(login.ms))];
  const wechat = wechatMs(journal);
  if (wechat !== null) parts.push(words().measuredWeChat(duration(wechat)));
  if (reveal > 2) parts.push(words().slowed);
  return parts;
}

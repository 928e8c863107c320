// The steps of an attempt as a sequence diagram. Knows no request; steps.js says what happened.

import { asCurl, commandOf } from "./curl.js";
import { byId, duration, el, prettyJson } from "./dom.js";
import { tookOf } from "./steps.js";
import { words } from "./words.js";

const [MINI_PROGRAM, WXMINT, WECHAT, STORE, ACCOUNTS, SERVICES] = [0, 1, 2, 3, 4, 5];

/** Who speaks to whom; `both` where the answer belongs to the same step. */
const ROUTES = {
  phoneCode: { from: MINI_PROGRAM, to: WECHAT, both: true },
  code: { from: MINI_PROGRAM, to: WECHAT, both: true },
  post: { from: MINI_PROGRAM, to: WXMINT },
  claim: { from: WXMINT, to: STORE, both: true },
  ticket: { from: WXMINT, to: STORE, both: true },
  session: { from: WXMINT, to: WECHAT, both: true },
  record: { from: WXMINT, to: STORE, both: true },
  number: { from: WXMINT, to: WECHAT, both: true },
  account: { from: WXMINT, to: ACCOUNTS, both: true },
  bind: { from: WXMINT, to: STORE, both: true },
  answer: { from: WXMINT, to: MINI_PROGRAM, answer: true },
  verify: { from: SERVICES, to: WXMINT, both: true },
  unbind: { from: MINI_PROGRAM, to: WXMINT },
  dissolve: { from: WXMINT, to: STORE, both: true },
  unbound: { from: WXMINT, to: MINI_PROGRAM, answer: true },
  handed: { from: MINI_PROGRAM, to: WECHAT, both: true },
  userData: { from: MINI_PROGRAM, to: WXMINT },
  unseal: { from: WXMINT, to: STORE, both: true },
  opened: { from: WXMINT, to: MINI_PROGRAM, answer: true },
};

/** Made once for a language and a course of steps, then brought up to date in place, so that opened steps stay open. */
export class Diagram {
  constructor(container) {
    this.container = container;
    this.open = new Set();
    this.rows = [];
  }

  /** Shows the `steps` of `attempt` up to `reveal`; the one after it is under way if `busy`. */
  draw(attempt, steps, reveal, busy) {
    const shown = [document.documentElement.lang, ...steps.map((step) => step.name)].join();
    if (shown !== this.shown) this.build(steps);
    this.shown = shown;
    steps.forEach((step, n) => {
      const state = n < reveal ? step.state : n === reveal && busy ? "active" : "idle";
      drawRow(this.rows[n], step, state, n < reveal, attempt);
    });
  }

  build(steps) {
    for (const { name, root } of this.rows) root.open ? this.open.add(name) : this.open.delete(name);
    this.heads = words().parties.map(([name, caption]) =>
      el("li", { className: "party" }, el("strong", {}, name), el("span", {}, caption)),
    );
    this.rows = steps.map(({ name }, n) => buildRow(name, n + 1, this.open.has(name)));
    const list = el("ol", { className: "steps" }, this.rows.map((row) => el("li", {}, row.root)));
    this.container.replaceChildren(el("ul", { className: "parties" }, this.heads), list);
  }

  /** Marks WeChat's head while a fault is on. */
  markWeChat(ill) {
    this.heads[WECHAT].classList.toggle("ill", Boolean(ill));
    this.heads[WECHAT].lastChild.textContent = ill ?? words().parties[WECHAT][1];
  }
}

function buildRow(name, number, open) {
  const route = ROUTES[name];
  const label = el("span", { className: "label" });
  const ms = el("span", { className: "ms" });
  const state = el("span", { className: "hidden" });
  const arrow = buildArrow(route);
  const body = el("div", { className: "step-body" });
  const [from, to] = [route.from, route.to].map((party) => words().parties[party][0]);
  const summary = el(
    "summary",
    {},
    el("span", { className: "number", "aria-hidden": "true" }, String(number)),
    label,
    el("span", { className: "track" }, arrow),
    el("span", { className: "hidden" }, `, ${words().fromTo(from, to)}, `),
    state,
    el("span", { className: "aside" }, ms, el("i", { className: "chevron", "aria-hidden": "true" })),
  );
  // Set from script: the page's Content-Security-Policy allows no style attributes.
  arrow.style.setProperty("--left", Math.min(route.from, route.to));
  arrow.style.setProperty("--span", Math.abs(route.from - route.to));
  const root = el("details", { className: "step", open, "data-testid": `step-${number}`, "data-step": name }, summary, body);
  return { name, root, label, ms, state, body };
}

function buildArrow({ from, to, both, answer }) {
  const direction = from < to ? "rightward" : "leftward";
  const lines = el("i", { className: answer ? "line dashed" : "line" });
  const back = both ? el("i", { className: "line dashed back" }) : null;
  return el("span", { className: `arrow ${direction}`, "aria-hidden": "true" }, lines, back, el("i", { className: "dot" }));
}

function drawRow(row, step, state, revealed, attempt) {
  row.root.dataset.state = state;
  row.label.textContent = revealed ? step.label : step.plan;
  row.state.textContent = words().states[state];
  row.ms.textContent = revealed && step.ms !== null ? duration(step.ms) : (words().asides[state] ?? "");
  const exchanges = revealed || state === "active" ? step.exchanges.map(drawExchange) : [];
  const quiet = exchanges.length || step.notes.length ? null : el("p", { className: "small" }, words().nothingYet);
  const command = revealed && step.state !== "idle" ? [asCurl(step.name, () => commandOf(step.name, attempt))] : [];
  const notes = step.notes.map((note) => el("p", {}, note));
  row.body.replaceChildren(...notes, ...exchanges, ...(quiet ? [quiet] : []), ...command);
}

/** One request with its answer, or the half that belongs here. */
export function drawExchange({ request, answer, silent }) {
  return el(
    "div",
    { className: "exchange" },
    request ? drawMessage(words().request, `${request.method} ${request.path}`, request.headers, request.body) : null,
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
  else if (!attempt.reply) line.textContent = words().running(duration(performance.now() - attempt.began));
  else line.textContent = measuredParts(attempt, reveal).join(words().between);
}

function measuredParts({ reply, journal: { session, number, account } }, reveal) {
  const { method, path } = reply.request;
  const parts = [words().measured(`${method} ${path}`, duration(reply.ms))];
  const [wechat, accounts] = [tookOf([...session, ...number]), tookOf(account)];
  if (wechat !== null) parts.push(words().measuredWeChat(duration(wechat)));
  if (accounts !== null) parts.push(words().measuredAccounts(duration(accounts)));
  if (reveal > 2) parts.push(words().slowed);
  return parts;
}

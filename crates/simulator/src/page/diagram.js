// The steps of an attempt as a sequence diagram. Knows no request; steps.js says what happened.

import { byId, duration, el, prettyJson } from "./dom.js";
import { tookOf } from "./steps.js";
import { words } from "./words.js";

const [MINI_PROGRAM, WXMINT, WECHAT, STORE, ACCOUNTS, SERVICES] = [0, 1, 2, 3, 4, 5];
const BOTH = true;
/** Who speaks to whom, there and back in one step, or one way; and the steps that do. */
const ROUTES = [
  [[MINI_PROGRAM, WECHAT, BOTH], ["phoneCode", "code"]],
  [[MINI_PROGRAM, WXMINT], ["post", "unbind"]],
  [[MINI_PROGRAM, WXMINT, BOTH], ["look", "decide"]],
  [[WXMINT, MINI_PROGRAM], ["answer", "unbound"]],
  [[WXMINT, WECHAT, BOTH], ["session", "number"]],
  [[WXMINT, STORE, BOTH], ["claim", "ticket", "record", "bind", "dissolve"]],
  [[WXMINT, ACCOUNTS, BOTH], ["account"]],
  [[SERVICES, WXMINT, BOTH], ["verify", "ask", "fetch", "check"]],
];

/** Made once for a language and a course of steps, then brought up to date in place, so that opened steps stay open. */
export class Diagram {
  constructor(container, mark = "step", partiesOf = () => words().parties) {
    Object.assign(this, { container, mark, partiesOf });
    this.open = new Set();
    this.rows = [];
  }

  /** Shows the `steps` up to `reveal`; the one after it is under way if `busy`. */
  draw(steps, reveal, busy) {
    const shown = [document.documentElement.lang, ...steps.map((step) => step.name)].join();
    if (shown !== this.shown) this.build(steps);
    this.shown = shown;
    steps.forEach((step, n) => {
      const state = n < reveal ? step.state : n === reveal && busy ? "active" : "idle";
      drawRow(this.rows[n], step, state, n < reveal);
    });
  }

  build(steps) {
    for (const { name, root } of this.rows) root.open ? this.open.add(name) : this.open.delete(name);
    const parties = this.partiesOf();
    const heads = parties.map(([name, caption]) => el("li", { className: "party" }, el("strong", {}, name), el("span", {}, caption)));
    this.rows = steps.map(({ name }, n) => buildRow(name, `${this.mark}-${n + 1}`, n + 1, { open: this.open.has(name), parties }));
    const list = el("ol", { className: "steps" }, this.rows.map((row) => el("li", {}, row.root)));
    // Read out by each step's own words.
    this.container.replaceChildren(el("ul", { className: "parties", "aria-hidden": "true" }, heads), list);
  }
}

function buildRow(name, testid, number, { open, parties }) {
  const [[from, to, both]] = ROUTES.find(([, steps]) => steps.includes(name));
  const [label, ms] = ["label", "ms"].map((className) => el("span", { className }));
  const state = el("span", { className: "hidden" });
  const names = [from, to].map((party) => parties[party][0]);
  const arrow = buildArrow(from, to, both);
  // Set from script: the page's Content-Security-Policy allows no style attributes.
  arrow.style.setProperty("--left", Math.min(from, to));
  arrow.style.setProperty("--span", Math.abs(from - to));
  const summary = el(
    "summary",
    {},
    el("span", { className: "number", "aria-hidden": "true" }, String(number)),
    label,
    el("span", { className: "track" }, arrow),
    el("span", { className: "route" }, names.join(both ? " ⇄ " : " → ")),
    state,
    el("span", { className: "aside" }, ms, el("i", { className: "chevron", "aria-hidden": "true" })),
  );
  const body = el("div", { className: "step-body" });
  const root = el("details", { className: "step", open, "data-testid": testid, "data-step": name }, summary, body);
  return { name, root, label, ms, state, body };
}

function buildArrow(from, to, both) {
  const line = el("i", { className: to === MINI_PROGRAM ? "line dashed" : "line" });
  const back = both && el("i", { className: "line dashed back" });
  return el("span", { className: `arrow ${from < to ? "rightward" : "leftward"}`, "aria-hidden": "true" }, line, back, el("i", { className: "dot" }));
}

function drawRow(row, step, state, revealed) {
  row.root.dataset.state = state;
  row.label.textContent = revealed ? step.label : step.plan;
  row.state.textContent = words().states[state];
  row.ms.textContent = revealed && step.ms !== null ? duration(step.ms) : (words().asides[state] ?? "");
  const exchanges = revealed || state === "active" ? step.exchanges.map(drawExchange) : [];
  row.body.replaceChildren(...step.notes.map((note) => el("p", {}, note)), ...exchanges);
}

/** One request with its answer, or the half that belongs here. */
function drawExchange({ request, answer, silent }) {
  return el(
    "div",
    { className: "exchange" },
    request && drawMessage(words().request, `${request.method} ${request.path}`, request.headers, request.body),
    answer && drawMessage(words().answer, String(answer.status), answer.headers, answer.body ?? answer.text),
    silent && el("p", { className: "small silent" }, words().noAnswer),
  );
}

/** A request or an answer as it goes over the line. */
export function drawMessage(title, firstLine, headers, body) {
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

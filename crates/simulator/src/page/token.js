// The token in the box: its characters, which can be spoiled, its checks and its parts. held.js says what holds for it.

import { button, byId, chip, copyText, el, group, onChange, prettyJson } from "./dom.js";
import { nameOf } from "./people.js";
import { words } from "./words.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const PARTS = ["header", "claims", "signature"];
const PAGE_STEP = 20; // characters that Page Up and Page Down move
const MARKS = { accepted: "tick", refused: "cross" };

/** Says in `box` what holds for the token, in the same words wherever it is said. */
function drawVerdict(box, { held, verdict: { state, by } }) {
  const text = words().verdicts;
  const headline = state === "refused" ? text.refused[by] : text[state];
  const whose = held && text.whose(held.userId, nameOf(held.person), words().shops[held.app].name);
  const reason = by === "service" && held.service.answer.body?.reason;
  box.dataset.verdict = state;
  box.dataset.by = by ?? "";
  box.replaceChildren(
    el("i", { className: `mark ${MARKS[state] ?? "none"}`, "aria-hidden": "true" }),
    el("div", {}, el("strong", {}, headline), el("p", { className: "small" }, whose, reason && el("code", { lang: "en" }, ` ${reason}`))),
  );
}

/** `change(text)` is called with what the box is to hold. */
export class TokenView {
  constructor(change) {
    Object.assign(this, { change, caret: 0 });
    this.build = onChange(({ held }) => held.token, (view) => this.makeBox(view));
    this.paint = onChange(({ held }) => [held.token, held.text, this.caret], (view) => this.paintBox(view));
    this.say = onChange(({ held, verdict }) => [held.token, held.text, verdict], (view) => drawVerdict(this.verdict, view));
    this.tell = onChange(({ held, verdict }) => [held.text, held.checks, verdict], (view) => this.drawParts(view));
  }

  draw(view) {
    const { held } = view;
    for (const id of ["token-empty", "parts-empty"]) byId(id).hidden = Boolean(held);
    for (const id of ["token-view", "token-parts"]) byId(id).hidden = !held;
    if (!held) return;
    this.view = view;
    for (const step of [this.build, this.paint, this.say, this.tell]) step(view);
  }

  makeBox({ held: { token } }) {
    const text = words();
    this.parts = partsOf(token);
    this.caret = Math.min(this.caret, token.length - 1);
    this.verdict = el("div", { className: "verdict", "data-testid": "verdict", role: "status", "aria-live": "polite" });
    this.count = el("span", { className: "spoiled-count", "data-testid": "spoiled-count" });
    this.restore = button("solid", "restore", () => (this.change(token), this.box.focus()), text.restore);
    const copy = button("quiet", "copy-token", () => copyText(this.view.held.text, copy, this.box, text.copied), text.copy);
    this.spans = [...token].map(() => el("span"));
    const names = { "aria-label": text.caretLabel, "aria-describedby": "caret-help", "aria-valuemin": "1", "aria-valuemax": String(token.length) };
    this.box = el("div", { className: "token", tabIndex: 0, role: "slider", "data-testid": "token", ...names }, this.spans);
    this.box.addEventListener("click", ({ target }) => this.spans.includes(target) && this.toggle(this.spans.indexOf(target)));
    this.box.addEventListener("keydown", (event) => this.onKey(event));
    const head = el("div", { className: "token-head" }, this.verdict, this.count, this.restore, copy);
    byId("token-view").replaceChildren(head, this.box, el("p", { className: "hidden", id: "caret-help" }, text.caretHelp));

    const spoilers = PARTS.map((part, n) => chip(`spoil-${part}`, text.spoil[part], () => this.toggle(this.pick(n))));
    this.list = el("ol", { className: "checks", "data-testid": "checks" });
    this.taken = el("div", { className: "taken" });
    const lead = el("p", { className: "small" }, text.verifyLead, " ", el("a", { href: "/demo/verify.js" }, text.verifyCode));
    const verifying = el("div", { className: "verifying" }, el("h3", { id: "verify-heading" }, text.verifyHeading), this.list, lead);
    byId("token-parts").replaceChildren(group(text.spoilLabel, ...spoilers), el("div", { className: "token-grid" }, verifying, this.taken));
  }

  onKey(event) {
    const last = this.spans.length - 1;
    const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: PAGE_STEP, PageDown: -PAGE_STEP, Home: -last, End: last };
    if (event.key === "Enter" || event.key === " ") this.toggle(this.caret);
    else if (event.key in moves) this.caret = Math.max(0, Math.min(last, this.caret + moves[event.key]));
    else return;
    event.preventDefault();
    this.paint(this.view);
  }

  /** A random character of part `n` that is not spoiled yet. Not its last one, of which some bits must be zero: without them it is no base64url. */
  pick(n) {
    const { token, text } = this.view.held;
    const free = this.parts.flatMap((part, at) => (part === n && (token[at + 1] ?? ".") !== "." && token[at] !== "." && text[at] === token[at] ? [at] : []));
    return free[Math.floor(Math.random() * free.length)] ?? 0;
  }

  /** Spoils a character, or puts it back. */
  toggle(at) {
    const { token, text } = this.view.held;
    const others = [...ALPHABET].filter((character) => character !== token[at]);
    const next = text[at] === token[at] ? others[Math.floor(Math.random() * others.length)] : token[at];
    this.caret = at;
    this.change(text.slice(0, at) + next + text.slice(at + 1));
  }

  paintBox({ held: { token, text } }) {
    const isSpoiled = (at) => text[at] !== token[at];
    this.spans.forEach((span, at) => {
      span.textContent = text[at];
      const names = [token[at] === "." ? "dot-between" : `part-${this.parts[at]}`, isSpoiled(at) && "spoiled", at === this.caret && "caret"];
      span.className = names.filter(Boolean).join(" ");
    });
    const spoiled = this.spans.filter((_, at) => isSpoiled(at)).length;
    this.count.textContent = spoiled ? words().spoiledCount(spoiled) : "";
    this.restore.hidden = !spoiled;
    const { caret } = this;
    const part = token[caret] === "." ? words().separator : words().partNames[this.parts[caret]];
    this.box.setAttribute("aria-valuenow", String(caret + 1));
    this.box.setAttribute("aria-valuetext", words().caretText(caret + 1, token.length, text[caret], part, isSpoiled(caret)));
  }

  drawParts({ held, verdict }) {
    const [header = "", claims = ""] = held.text.split(".");
    this.list.replaceChildren(...[...(held.checks ?? []), heardOf(verdict)].map(drawCheck));
    this.taken.replaceChildren(drawPart(0, header), drawPart(1, claims), drawAbsent(held));
  }
}

/** The last check: whether the services have read that the token is revoked. */
function heardOf({ state, by }) {
  if (state === "accepted") return { id: "ended", ok: true, got: "200" };
  if (by === "ended" || by === "service") return { id: "ended", ok: false, reason: by };
  return { id: "ended", ok: null, got: state === "ending" ? words().verdicts.ending : undefined };
}

/** For each character the part it is in; a dot counts to the part before it. */
function partsOf(token) {
  let part = 0;
  return [...token].map((character) => (character === "." ? part++ : part));
}

function drawCheck({ id, ok, reason, got }) {
  const text = words();
  const state = ok === null ? "skipped" : ok ? "passed" : "failed";
  const why = ok === false ? `${text.reasons[reason]} ${got ?? ""}` : (got ?? text.checkStates.skipped);
  return el("li", { className: state, "data-testid": `check-${id}`, "data-state": state },
    el("i", { className: `mark ${{ skipped: "none", passed: "tick", failed: "cross" }[state]}`, "aria-hidden": "true" }),
    el("span", { className: "what" }, text.checks[id], el("span", { className: "hidden" }, `: ${text.checkStates[state]}. `)),
    el("span", { className: "why" }, why));
}

/** Decodes without any strictness, to show people what a spoiled part has become. */
function readLoosely(part) {
  const bits = [...part].map((character) => ALPHABET.indexOf(character)).filter((value) => value >= 0);
  const standard = bits.map((value) => (value < 62 ? ALPHABET[value] : "+/"[value - 62])).join("");
  const whole = standard.length % 4 === 1 ? standard.slice(0, -1) : standard;
  return new TextDecoder().decode(Uint8Array.from(atob(whole), (character) => character.charCodeAt(0)));
}

function drawPart(n, encoded) {
  const text = readLoosely(encoded);
  let body;
  try {
    body = el("dl", {}, Object.entries(JSON.parse(text)).map(([name, value]) => drawMember(name, value)));
  } catch {
    body = el("div", {}, el("p", { className: "small" }, words().unreadable), el("pre", { className: "garbled" }, text));
  }
  return el("div", { className: `part part-${n}`, "data-testid": `part-${PARTS[n]}` }, el("h3", {}, words().partNames[n]), body);
}

function drawMember(name, value) {
  const meaning = Object.hasOwn(words().members, name) ? words().members[name] : words().unknownMember;
  const shown = typeof value === "object" && value !== null ? prettyJson(value) : [JSON.stringify(value)];
  const isTime = ["iat", "exp", "nbf"].includes(name) && Number.isSafeInteger(value);
  const when = isTime && el("span", { className: "when" }, new Date(value * 1000).toLocaleString(document.documentElement.lang));
  return el("div", {}, el("dt", {}, name), el("dd", {}, el("code", {}, shown), when, el("span", { className: "meaning" }, meaning)));
}

/** Searches the token, encoded and decoded, for what WeChat said about the person. */
function drawAbsent({ text: token, known }) {
  const text = words();
  const haystack = [token, ...token.split(".").map(readLoosely)].join("\n");
  const rows = Object.entries(text.absent).map(([name, label]) => {
    const found = Boolean(known[name]) && haystack.includes(known[name]);
    const said = !known[name] ? text.notGiven : found ? text.found : text.notFound;
    return el("li", { className: found ? "bad" : "good" }, el("code", {}, label), el("span", {}, hint(name, known[name])), el("b", {}, said));
  });
  const parts = [el("h3", {}, text.absentHeading), el("ul", {}, rows), el("p", { className: "small" }, text.absentLead)];
  return el("div", { className: "part absent", "data-testid": "absent" }, parts);
}

/** A person's identifiers are hinted at, a session_key is not shown at all, here as elsewhere. */
function hint(name, secret) {
  if (!secret) return "";
  return name === "session_key" ? "••••••••" : `${secret.slice(0, 4)}…${secret.slice(-2)}`;
}

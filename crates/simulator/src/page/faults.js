// The panel that makes a login go wrong, and says what came of it.

import { byId, chip, el, group, onChange, prettyJson } from "./dom.js";
import { CODE2SESSION } from "./asking.js";
import { words } from "./words.js";

/** The faults that can be switched on, as the simulator takes them. */
export const FAULTS = {
  stall: { path: CODE2SESSION, kind: "stall" },
  reset: { path: CODE2SESSION, kind: "reset" },
  html: { path: CODE2SESSION, kind: "html" },
  busy: { path: CODE2SESSION, kind: "errcode", errcode: -1 },
};

/** What a problem's code means, in words: headline and what the mini program does. */
export const adviceFor = (code) => (Object.hasOwn(words().advice, code) ? words().advice[code] : words().advice.other);

/** 32 characters as WeChat's codes have them, but WeChat has never heard of this one. */
export function inventCode() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The panel; `actions`: `sendAgain()`, `sendInvented()`, `guess()`, `takeOver()`, `breakWeChat(name)`, `heal()`. */
export class FaultPanel {
  constructor(actions) {
    this.actions = actions;
    this.frame = onChange(() => 0, () => this.build());
    this.tell = onChange(({ failure }) => failure?.id, ({ failure }) => drawProblem(failure));
  }

  draw(view) {
    const { fault, lastCode, busy } = view;
    this.frame();
    for (const button of [this.sameCode, this.wrongCode, this.wrongPassword, this.othersAccount, ...this.ills]) button.setAttribute("aria-disabled", String(busy));
    this.sameCode.disabled = !lastCode;
    this.hint.hidden = Boolean(lastCode);
    this.ills.forEach((chip, n) => chip.setAttribute("aria-pressed", String(Object.keys(FAULTS)[n] === fault)));
    this.healButton.hidden = !fault;
    const pulse = byId("pulse");
    pulse.textContent = fault ? words().ill(words().wechatState[fault]) : words().well;
    pulse.dataset.state = fault ? "ill" : "well";
    this.tell(view);
  }

  build() {
    const text = words();
    this.sameCode = chip("same-code", text.sameCode, this.actions.sendAgain);
    this.wrongCode = chip("wrong-code", text.wrongCode, this.actions.sendInvented);
    this.wrongPassword = chip("wrong-password", text.wrongPassword, this.actions.guess);
    this.othersAccount = chip("others-account", text.othersAccount, this.actions.takeOver);
    this.hint = el("span", { className: "small" }, text.needsCode);
    this.ills = Object.keys(FAULTS).map((name) => chip(`fault-${name}`, text.faults[name], () => this.actions.breakWeChat(name)));
    this.healButton = chip("heal", text.heal, this.actions.heal);
    this.healButton.className = "solid";
    byId("faults-box").replaceChildren(
      group(text.codesGroup, this.sameCode, this.wrongCode, this.hint),
      group(text.accountsGroup, this.wrongPassword, this.othersAccount),
      group(text.wechatGroup, ...this.ills, this.healButton),
    );
  }
}

function drawProblem(failure) {
  const box = byId("problem");
  box.dataset.code = failure?.code ?? "";
  if (!failure) box.replaceChildren(el("p", { className: "small" }, words().calm));
  else box.replaceChildren(inWords(failure), ...(failure.answer ? [asDocument(failure.answer)] : []));
}

function inWords({ code, answer }) {
  const [headline, advice] = adviceFor(code);
  const wait = answer?.headers["retry-after"];
  const facts = [answer?.status, code, wait && `Retry-After: ${wait}`].filter(Boolean);
  return el(
    "div",
    { className: "in-words" },
    el("p", { className: "codes" }, facts.map((fact) => el("code", {}, String(fact)))),
    el("strong", {}, headline),
    el("p", {}, el("span", { className: "small" }, words().shouldDo), el("span", {}, advice)),
  );
}

function asDocument({ body, text }) {
  const pre = el("pre", { "data-testid": "problem-document" }, body ? prettyJson(body) : text);
  return el("figure", { className: "message" }, el("figcaption", {}, words().problem), pre);
}

// The sidecar, asked as a proxy asks it: about the phone's token, and about a request without one.

import { call } from "./asking.js";
import { asCurl, curl, verifying } from "./curl.js";
import { drawExchange } from "./diagram.js";
import { byId, chip, el, group } from "./dom.js";
import { words } from "./words.js";

export class SidecarPanel {
  constructor() {
    this.box = byId("sidecar-box");
    this.token = null;
    this.reply = null;
    this.asked = 0;
  }

  /** Takes up the phone's token, and asks about it. */
  async take(token) {
    this.token = token;
    await this.ask(token);
  }

  async ask(token) {
    this.asked += 1;
    const turn = this.asked;
    const reply = await call("GET", "/verify", undefined, token);
    if (turn !== this.asked) return; // a later question has its own answer
    this.reply = reply;
    this.drawReply();
  }

  draw() {
    if (this.lang !== document.documentElement.lang) this.build();
  }

  build() {
    const text = words().sidecar;
    this.lang = document.documentElement.lang;
    this.withToken = chip("sidecar-token", text.withToken, () => this.token && this.ask(this.token));
    const without = chip("sidecar-none", text.without, () => this.ask());
    this.answer = el("div", { role: "status", "aria-live": "polite", "data-testid": "sidecar-answer" });
    const command = () => (this.token ? verifying(this.token) : curl("GET", "/verify"));
    this.box.replaceChildren(group(text.asking, this.withToken, without), this.answer, asCurl("sidecar", command));
    this.drawReply();
  }

  drawReply() {
    this.withToken.setAttribute("aria-disabled", String(!this.token));
    this.answer.dataset.status = this.reply?.answer?.status ?? "";
    const empty = el("p", { className: "small" }, words().sidecar.notAsked);
    const said = words().sidecar[this.reply?.answer?.status];
    this.answer.replaceChildren(
      ...(this.reply ? [drawExchange(shortened(this.reply)), el("p", { className: "small" }, said ?? "")] : [empty]),
    );
  }
}

/** A question and its answer, without the middle of the token. */
function shortened({ request, answer }) {
  const short = (value) => value.replace(/(eyJ.{9}).*(.{9})/, "$1…$2");
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, short(value)]));
  return { request: { ...request, headers }, answer, silent: !answer };
}

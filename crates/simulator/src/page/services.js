// Two services that get the token in the box: one verifies by itself, the other has a sidecar verify. And what revokes the
// token, with a clock from wxmint's answer to the first refusal.

import { call } from "./asking.js";
import { drawMessage } from "./diagram.js";
import { byId, chip, el, group, onChange, pause } from "./dom.js";
import { APPS } from "./people.js";
import { words } from "./words.js";

const TICK = 100; // ms between two drawings of the clock, which has one decimal

/** What revokes a token, by name. Each takes what `held` of state.js has: the token, its second, and whose it is. */
export const ACTS = {
  logout: ({ token }) => call("POST", "/logout", undefined, token),
  everywhere: ({ token }) => call("POST", "/logout", { everywhere: true }, token),
  elsewhere: logInElsewhere,
  ban: ({ userId }) => call("PUT", blockOf(userId)),
};

export const blockOf = (userId) => `/demo/blocks/${encodeURIComponent(userId)}`;

/** A login of the same person in the same mini program, on a phone that is not drawn. */
async function logInElsewhere({ person, app, at }) {
  // A login revokes the tokens of earlier seconds, because `iat` counts seconds.
  await pause((at + 1) * 1000 - Date.now());
  const appid = APPS[app];
  const minted = await call("POST", "/_simulator/codes", { person, appid });
  return call("POST", "/login", { appid, code: minted.answer?.body?.codes?.[0] });
}

/** The panel; `actions`: `ask()`, `end(act)`, `lift(userId)`. */
export class ServicesPanel {
  constructor(actions) {
    this.actions = actions;
    this.build = onChange(() => 0, () => this.makeFrame());
    this.show = onChange(({ held }) => [held?.service, held?.sidecar], (view) => this.drawAnswers(view));
    this.list = onChange(({ accounts }) => accounts.map(({ blocked }) => blocked), (view) => this.drawBans(view));
    setInterval(() => this.view && this.drawClock(this.view), TICK);
  }

  draw(view) {
    this.view = view;
    for (const step of [this.build, this.show, this.list]) step(view);
    for (const button of this.buttons) button.setAttribute("aria-disabled", String(!view.mayEnd));
    this.again.setAttribute("aria-disabled", String(!view.held));
    this.drawClock(view);
  }

  makeFrame() {
    const text = words().services;
    this.clock = el("strong", { role: "timer", "aria-live": "off", "aria-labelledby": "clock-label", "data-testid": "end-clock" });
    this.label = el("span", { className: "small", id: "clock-label", "data-testid": "end-result" });
    this.again = chip("ask-services", text.again, () => this.view.held && this.actions.ask());
    this.buttons = Object.keys(ACTS).map((name) => chip(`end-${name}`, text.acts[name], () => this.actions.end(name)));
    this.bans = el("div", { className: "buttons", role: "group", "aria-label": text.bans });
    this.answers = el("div", { className: "exchange", "data-testid": "answers" });
    byId("services").replaceChildren(
      group(text.ending, ...this.buttons),
      el("p", { className: "clock" }, this.clock, this.label),
      this.bans,
      group(text.asking, this.again),
      this.answers,
      el("p", { className: "small" }, text.oneLogin),
    );
  }

  drawAnswers({ held }) {
    const text = words().services;
    const shown = (name, reply) => {
      const { status, headers, body } = reply.answer ?? { status: words().noAnswer, headers: {} };
      const wanted = Object.entries(headers).filter(([header]) => /^(x-user-id|www-authenticate)$/.test(header));
      const message = drawMessage(`${text[name]}: ${reply.request.path}`, String(status), Object.fromEntries(wanted), name === "service" ? body : null);
      Object.assign(message.dataset, { testid: `answer-${name}`, status });
      return message;
    };
    const asked = ["service", "sidecar"].filter((name) => held?.[name]);
    this.answers.replaceChildren(...asked.map((name) => shown(name, held[name])));
  }

  drawBans({ accounts }) {
    const text = words().services;
    const banned = accounts.filter(({ blocked }) => blocked);
    const lift = ({ user_id: userId }) => chip(`lift-${userId}`, text.lift(userId), () => this.actions.lift(userId));
    this.bans.hidden = !banned.length;
    this.bans.replaceChildren(el("span", { className: "small" }, text.bans), ...banned.map(lift));
  }

  /** Nothing is counted before something has been revoked. */
  drawClock({ ending: end }) {
    const text = words().services;
    const state = !end ? "idle" : end.failed ? "failed" : !end.held ? "asking" : end.ms === null ? "running" : "stopped";
    this.clock.dataset.state = state;
    this.clock.textContent = end?.held ? text.seconds((end.ms ?? performance.now() - end.began) / 1000) : "";
    const said = text.clock[state](end && text.acts[end.act], end?.failed ?? end?.other);
    if (this.label.textContent !== said) this.label.textContent = said;
  }
}

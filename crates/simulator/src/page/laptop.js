// The laptop beside the phone: a website without passwords. Knows no request; scan.js makes them.

import { Diagram } from "./diagram.js";
import { button, byId, chip, el, group, onChange } from "./dom.js";
import { showsCode } from "./scan.js";
import { succeeded } from "./steps.js";
import { words } from "./words.js";

/** The requests in the order in which they matter. */
const CALLS = ["ask", "look", "decide", "fetch", "check"];

/** The laptop with what throws it out; `actions`: `ask()`, `end(act)`, `lift(userId)`. */
export class Laptop {
  constructor(actions) {
    Object.assign(this, { actions, site: byId("laptop") });
    this.diagram = new Diagram(byId("scan-diagram"), "call", () => [...words().parties.slice(0, -1), words().scan.party]);
    this.show = onChange(({ laptop }) => [showsCode(laptop) || laptop.stage, laptop.code], ({ laptop }) => this.drawSite(laptop));
    this.list = onChange((view) => [view.laptop.user, view.mayEnd, isBanned(view)], (view) => this.drawEnds(view));
  }

  draw(view) {
    const { laptop } = view;
    this.show(view);
    this.site.dataset.stage = laptop.stage;
    this.list(view);
    if (showsCode(laptop)) this.site.querySelector("h3").textContent = words().scan.stages[laptop.stage];
    this.diagram.draw(CALLS.map((name) => stepOf(name, laptop.calls[name])), CALLS.length, false);
  }

  drawSite(laptop) {
    const hadFocus = this.site.contains(document.activeElement);
    const text = words().scan;
    this.site.setAttribute("aria-label", text.labels.device);
    this.site.replaceChildren(...SITES[showsCode(laptop) ? "shown" : laptop.stage](laptop, text, this.actions));
    if (hadFocus) this.site.querySelector("h3").focus({ preventScroll: true }); // the button that was pressed is gone
  }

  /** What throws it out. */
  drawEnds(view) {
    const { laptop: { user }, mayEnd } = view;
    const { acts, bans, lift } = words().services;
    const ends = ["ban", "everywhere"].map((name) => chip(`laptop-${name}`, acts[name], () => this.actions.end(name)));
    for (const end of ends) end.setAttribute("aria-disabled", String(!mayEnd));
    const ban = isBanned(view) && group(bans, chip("laptop-lift", lift(user), () => this.actions.lift(user)));
    byId("laptop-ends").replaceChildren(...(ban ? [ban] : user ? [group(words().scan.labels.ends, ...ends)] : []));
  }
}

const isBanned = ({ accounts, laptop }) => accounts.some((account) => account.user_id === laptop.user && account.blocked);

function stepOf(name, made) {
  const [plan, note] = words().scan.calls[name];
  const isWaiting = made?.answer?.body?.error === "authorization_pending";
  const state = !made ? "idle" : succeeded(made) ? "done" : isWaiting ? "active" : "failed";
  return { name, plan, label: plan, state, ms: made?.ms ?? null, notes: [note], exchanges: made ? [made] : [] };
}

const title = (text) => el("h3", { className: "welcome", tabIndex: -1 }, text);
const mark = (kind) => el("i", { className: `mark ${kind}`, "aria-hidden": "true" });
const line = (text) => el("p", { className: "small", "data-testid": "laptop-says" }, text);
const login = (text, { ask }) => button("solid", "laptop-login", ask, text);

/** What the laptop shows, by stage. */
const SITES = {
  idle: (_, { lines, labels }, actions) => [title(words().shops.tea.name), line(lines.welcome), login(labels.login, actions)],
  shown({ code }, text) {
    // Only the path: the issuer may say localhost where the page was opened as 127.0.0.1.
    const picture = el("img", { src: new URL(code.mini_program_code_uri).pathname, alt: text.stages.shown });
    const number = el("p", { className: "match", "data-testid": "laptop-number" }, code.match);
    const beside = [title(), line(text.lines.how), number, line(text.lines.compare), el("code", { "data-testid": "user-code" }, code.user_code)];
    return [el("div", { className: "code" }, picture, mark("tick")), el("div", {}, beside)];
  },
  in({ user, client, until }, text) {
    const expires = new Date(until * 1000).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    return [mark("tick"), title(text.stages.in), facts({ sub: user, client_id: client, exp: expires })];
  },
  out({ act, after }, text, actions) {
    const { acts, seconds } = words().services;
    return [mark("cross"), title(text.stages.out), line(text.out(acts[act], seconds(after))), login(text.labels.login, actions)];
  },
  refused: ({ why }, text, actions) => [mark("cross"), title(text.stages.refused), line(text.refused[why] ?? text.refused.other), login(text.labels.again, actions)],
};

/** Names with their values. */
export function facts(values) {
  const rows = Object.entries(values).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { "data-testid": `fact-${name}` }, value)));
  return el("dl", { className: "facts" }, rows);
}

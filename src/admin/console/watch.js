// What goes on in this process: readiness, the logins of the last hour, the keys, the panels of doors, and what the doctor says.
// Readiness and keys are read from /readyz and /metrics, which need no secret, and so is whether there was another login: each
// look with the secret is an audit event.

import { doors } from "./doors.js";
import { appName, appsAre, clock, el, span, told, words } from "./words.js";

const EVERY = 5_000; // ms between two looks
const LOGINS_EVERY = 15_000; // ms between two looks at the logins, if there were any
const MINUTE = 60_000; // ms, after which the logins of the hour, if there are any, have moved on in it
const BARS = 60; // minutes
const NAMES = ["logins_total", "key_age_seconds", "key_expiry_seconds", "app_info", "build_info", ...doors.map(({ METRIC }) => METRIC)];
const READ = new RegExp(`^wxmint_(${NAMES.join("|")})\\{(.*)\\} (\\S+)$`, "gm");
const LOGINS_FAIL = "warning: logins fail: Redis does not answer"; // as src/issuer/health.rs says it in /readyz
const byId = (id) => document.getElementById(id);

/** The lines that the page needs of a text of metrics. */
function samples(text) {
  const labels = (list) => Object.fromEntries([...list.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
  return [...text.matchAll(READ)].map(([, name, list, value]) => ({ name, value: Number(value), ...labels(list) }));
}

export function watch({ ask, session }) {
  let logins = null; // as GET /activity has them; `of` the app that was asked for, and the problem of a later look
  let app = ""; // whose logins, or all
  let [total, seen, lookedAt] = [0, 0, 0]; // how many logins there were since the start, by now and when they were read, and when that was
  const select = el("select", { id: "app", hidden: true, onchange: () => void count(select.value).then(drawLogins) });
  const panels = doors.map(({ METRIC, panel }) => ({ name: METRIC, ...panel() }));
  let counts = []; // the samples of the panels
  const parts = [[byId("logins"), drawLogins], [byId("keys"), drawKeys], ...panels.map(({ section, name: wanted, draw }) => [section, () => draw(counts.filter(({ name }) => name === wanted))])];
  let [ready, version, keys, checks, checksZh, examinedAt, trouble, busy] = [null, "", null, null, null, 0, null, false];

  async function look() {
    if (session.gone.signal.aborted) return;
    try {
      const options = { cache: "no-store", credentials: "omit", signal: session.gone.signal };
      const [metrics, readyz] = await Promise.all(["/metrics", "/readyz"].map(async (path) => (await fetch(path, options)).text()));
      const found = samples(metrics);
      ready = readyz.trim();
      version = found.find(({ name }) => name === "build_info")?.version ?? "";
      appsAre(found.filter(({ name }) => name === "app_info"));
      const sum = (wanted) => found.filter(({ name }) => name === wanted).reduce((all, { value }) => all + value, 0);
      total = sum("logins_total");
      counts = found;
      const leaves = found.filter(({ name }) => name === "key_expiry_seconds");
      keys = found.filter(({ name }) => name === "key_age_seconds").map(({ kid, alg, state, value: age }) => ({ kid, alg, state, age, leaves: leaves.find((key) => key.kid === kid)?.value }));
    } catch {
      ready = null;
    }
    const isOld = total !== seen || logins?.of !== app || (logins.logins.length && Date.now() - lookedAt >= MINUTE);
    if (ready !== null && isOld && Date.now() - lookedAt >= LOGINS_EVERY) await count(app);
    if (session.gone.signal.aborted) return;
    drawStanding();
    // What somebody is about to copy stays.
    for (const [part, draw] of parts) if (getSelection().isCollapsed || !getSelection().containsNode(part, true)) draw();
    setTimeout(look, EVERY);
  }

  /** Reads the logins of the last hour. What is wrong, the other parts of the page say, unless another app was chosen. */
  async function count(of) {
    app = of;
    lookedAt = Date.now();
    const then = total;
    const answer = await ask("GET", of ? `/activity?appid=${encodeURIComponent(of)}` : "/activity").catch((problem) => ({ problem }));
    if (of !== app) return;
    if (answer.problem) logins &&= { ...logins, ...answer };
    // The list of apps stays that of all.
    else [seen, logins] = [then, { ...answer, of, apps: of ? logins.apps : answer.apps }];
  }

  function drawStanding() {
    const text = words();
    const lines = ready?.split("\n") ?? [];
    const loginsFail = lines.includes(LOGINS_FAIL);
    const isReady = lines[0] === "ok";
    const kind = !isReady || loginsFail ? "fault" : lines.length === 1 ? "ok" : "warning";
    const unfit = ready === null ? text.problems.unreachable : isReady ? text.loginsFail : text.notReady;
    const said = { ok: text.ready, warning: text.readyBut, fault: unfit }[kind];
    const detail = lines.filter((line) => line !== "ok" && line !== LOGINS_FAIL).map((line) => line.replace(/^(warning|not ready): /, "")).join("; ");
    const parts = [el("span", { className: `pill ${kind}` }, said), el("span", { className: "soft" }, text.standing(version, session.name, session.rights)), el("span", { lang: "en", className: "why" }, detail)];
    // Said aloud, so only when it changes.
    if (byId("standing").textContent !== parts.map((part) => part.textContent).join("")) byId("standing").replaceChildren(...parts);
  }

  function drawLogins() {
    if (!logins) return;
    const text = words();
    const sum = (minutes) => minutes.reduce((all, value) => all + value, 0);
    const row = ({ outcome, minutes }) => el("tr", { className: outcome === "ok" ? "good" : "" },
      el("th", { scope: "row" }, el("code", {}, outcome), text.outcomes[outcome] && el("span", { className: "soft small" }, text.outcomes[outcome])),
      el("td", {}, text.number(sum(minutes.slice(-10)))), el("td", {}, text.number(sum(minutes))));
    const head = el("tr", {}, [text.outcome, text.lastTen, text.lastHour].map((name) => el("th", { scope: "col" }, name)));
    const outcomes = [...logins.logins].sort((a, b) => (b.outcome === "ok") - (a.outcome === "ok") || sum(b.minutes) - sum(a.minutes));
    const numbers = outcomes.length ? [chart(outcomes), el("table", { id: "outcomes" }, el("thead", {}, head), el("tbody", {}, outcomes.map(row)))] : [el("p", { className: "empty" }, text.noLogins)];
    const shown = logins.of === app ? numbers : logins.problem ? [el("p", { className: "note bad" }, told(logins.problem))] : [];
    const apps = [{ appid: "" }, ...logins.apps.filter(({ appid }) => appid)];
    const option = ({ appid, ok, refused }) => el("option", { value: appid, selected: appid === app }, appid ? text.appLogins(appName(appid), ok, refused) : text.allApps);
    select.hidden = apps.length < 3;
    select.setAttribute("aria-label", text.whoseLogins);
    // What somebody is about to choose stays.
    if (document.activeElement !== select) select.replaceChildren(...apps.map(option));
    while (select.nextSibling) select.nextSibling.remove();
    select.after(...shown, el("p", { className: "soft small" }, text.counted(clock(logins.since * 1000))));
  }

  /** A bar for each minute: logins from below, refusals on top of them. */
  function chart(outcomes) {
    const sums = Array.from({ length: BARS }, () => [0, 0]);
    for (const { outcome, minutes } of outcomes) minutes.forEach((value, n) => (sums[n + BARS - minutes.length][Number(outcome === "ok")] += value));
    const most = Math.max(1, ...sums.map(([refused, ok]) => refused + ok));
    const [refused, ok] = [0, 1].map((n) => sums.reduce((all, parts) => all + parts[n], 0));
    const part = (value, n) => el("i", { className: n ? "ok" : "refused", style: `height: ${(value / most) * 100}%` });
    return el("div", { className: "chart", role: "img", "aria-label": words().chart(ok, refused) }, sums.map((parts) => el("span", {}, parts.map(part))));
  }

  function drawKeys() {
    if (!keys) return;
    const text = words();
    const shown = keys.filter(({ state }) => state !== "gone").sort((a, b) => b.age - a.age);
    const next = shown.find(({ age }) => age < 0);
    // In seconds from now: the timeline ends a little behind what comes last.
    const start = -Math.max(60, ...shown.map(({ age }) => age));
    const end = Math.max(-start / 8, ...shown.flatMap(({ age, leaves }) => [-age, leaves ?? 0])) * 1.1;
    const place = (at) => ((Math.min(Math.max(at, start), end) - start) / (end - start)) * 100;
    const bar = (name, from, to) => el("i", { className: `bar ${name}`, style: `left: ${place(from)}%; width: ${Math.max(0.6, place(to) - place(from))}%` });
    const row = ({ kid, alg, state, age, leaves }, n) => {
      const replaced = shown[n + 1] ? -shown[n + 1].age : end;
      const parts = [state === "published" && bar("published", 0, -age), bar("signing", -age, Math.min(replaced, leaves ?? end)), replaced < (leaves ?? 0) && bar("retired", replaced, leaves)];
      return el("li", { "data-state": state },
        el("div", { className: "row" }, el("span", { className: `pill ${state}` }, text.states[state]), el("code", {}, kid), el("span", { className: "soft small" }, alg)),
        el("div", { className: "track", "aria-hidden": "true" }, parts.filter(Boolean), bar("now", 0, 0)),
        el("p", { className: "soft small" }, text.life(state, span(Math.abs(age)), leaves === undefined ? null : span(leaves))));
    };
    const coming = shown.flatMap(({ kid, age, leaves }) => [age < 0 && [-age, text.begins, kid], leaves > 0 && [leaves, text.leaves, kid]]).filter(Boolean).sort(([a], [b]) => a - b);
    const events = coming.map(([wait, what, kid]) => el("li", {}, el("b", {}, text.within(span(wait))), ` ${what} `, el("code", {}, kid.slice(0, 10), "…")));
    byId("keys").replaceChildren(
      el("h3", {}, text.nextHeading),
      el("ul", { className: "next", id: "next" }, events, !next && el("li", { className: "soft" }, text.noNext)),
      el("ol", { className: "keys" }, shown.map(row)), el("p", { className: "soft small" }, text.legend));
  }

  async function examine() {
    if (busy) return;
    busy = true;
    drawDoctor();
    try {
      ({ checks, checks_zh: checksZh, examined_at: examinedAt } = await ask("GET", "/doctor"));
      trouble = null;
    } catch (problem) {
      if (problem.code === "left") return;
      trouble = problem;
    }
    busy = false;
    drawDoctor();
  }

  function drawDoctor() {
    const text = words();
    byId("examine").setAttribute("aria-disabled", String(busy));
    const row = ({ name, status, found, advice }) => el("li", { "data-check": name, "data-status": status },
      el("span", { className: `pill ${status}` }, text.statuses[status]), el("code", {}, name),
      el("span", { className: "found" }, found, advice && el("strong", {}, advice)));
    const of = (wanted) => ((text.inChinese ? checksZh : checks) ?? []).filter(({ status }) => wanted === (status === "ok"));
    const [bad, good] = [of(false).sort((a, b) => (a.status > b.status) - (a.status < b.status)), of(true)];
    const parts = busy ? [el("p", { className: "empty" }, text.examining)] : [
      trouble && el("p", { className: "note bad" }, told(trouble)),
      checks && el("p", { className: "soft small" }, text.examined(clock(examinedAt * 1000), bad.length)),
      bad.length && el("ul", { className: "checks" }, bad.map(row)),
      good.length && el("details", { open: !bad.length }, el("summary", {}, text.allOk(good.length)), el("ul", { className: "checks" }, good.map(row))),
    ];
    byId("doctor").replaceChildren(...parts.filter(Boolean));
  }

  byId("doctor").closest("section").before(...panels.map(({ section }) => section));
  byId("logins").append(select);
  byId("examine").addEventListener("click", examine);
  look();
  examine();
  return { draw: () => [drawStanding, ...parts.map(([, draw]) => draw), drawDoctor].forEach((draw) => draw()) };
}

// Scan to log in (RFC 8628): the laptop's website asks, the phone says yes or no, and the website has a token of its own. What
// the laptop shows is in laptop.js.

import { call } from "./asking.js";
import { pause } from "./dom.js";
import { now } from "./held.js";
import { fail, logIn } from "./login.js";
import { APPS } from "./people.js";
import { draw, personId, refreshAccounts, say, state } from "./state.js";
import { succeeded } from "./steps.js";
import { words } from "./words.js";

const CLIENT = { client_id: "demo-web" }; // as `wxmint demo` has it
const SITE = "tea"; // whose users may log in to the website
const GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const SLOWER = 5; // s, after slow_down
const GLANCE = 1000; // ms between two requests of a website that somebody looks at

const post = (path, fields) => call("POST", path, String(new URLSearchParams({ ...CLIENT, ...fields })));
const tokenOfPhone = () => state.sessions[SITE]?.answer.access_token;

/** Whether the laptop shows a code that a phone may scan. */
export const showsCode = ({ stage }) => stage === "shown" || stage === "scanned";

export async function askForScan() {
  const laptop = (state.laptop = { stage: "idle", calls: {} });
  laptop.calls.ask = await post("/device_authorization", {});
  const code = succeeded(laptop.calls.ask) && laptop.calls.ask.answer.body;
  change(laptop, code ? { stage: "shown", code } : { stage: "refused" });
  if (code) await fetchToken(laptop, code);
}

async function fetchToken(laptop, { device_code, interval }) {
  for (let wait = interval; ; ) {
    await pause(wait * 1000);
    laptop.calls.fetch = await post("/token", { grant_type: GRANT, device_code });
    if (laptop !== state.laptop) return; // a newer code is shown
    const { error: why, scanned, access_token: token, expires_in: life } = laptop.calls.fetch.answer?.body ?? {};
    if (token) return stay(Object.assign(laptop, { token, until: now() + life }));
    if (why === "slow_down") wait += SLOWER;
    else if (why !== "authorization_pending") return change(laptop, { stage: "refused", why });
    change(laptop, { stage: scanned ? "scanned" : "shown" });
  }
}

/** At each page that somebody opens on the laptop, the website's proxy asks the sidecar about the token. */
export async function stay(laptop) {
  const { ending } = state;
  await refreshAccounts();
  while (laptop === state.laptop) {
    laptop.calls.check = await call("GET", "/verify", undefined, laptop.token);
    const { status, headers } = laptop.calls.check.answer ?? {};
    if (status === 401) return leave(laptop, state.ending === ending ? null : state.ending);
    if (status === 200) change(laptop, { stage: "in", user: headers["x-user-id"], client: headers["x-client-id"] });
    await pause(GLANCE);
  }
}

/** If this page has revoked the token by `ending`, it knows how long that took. */
function leave(laptop, ending) {
  const { held, act, began } = ending ?? {};
  const after = (performance.now() - began) / 1000;
  change(laptop, { stage: "out", token: null, act: held?.userId === laptop.user && act, after });
}

/** Draws no request that has the answer of the one before, because opened steps are read. */
function change(laptop, changes) {
  const made = Object.keys(laptop.calls).length;
  const isNew = laptop.stage !== changes.stage || laptop.made !== made;
  Object.assign(laptop, changes, { made });
  if (laptop === state.laptop && isNew) draw();
}

/** WeChat opens the mini program of the code by `open`. Who is not logged in there logs in first, and may be asked who it is. */
export async function scan(open) {
  if (state.busy) return;
  Object.assign(state, { consent: null, scan: null, failure: null });
  const { laptop } = state;
  if (!showsCode(laptop)) return end("noCode");
  if (state.app !== SITE) await open(SITE);
  if (!tokenOfPhone()) await logIn();
  if (!tokenOfPhone()) return;
  const scene = laptop.code.user_code.replace("-", "");
  const again = () => scan(open);
  const token = tokenOfPhone();
  const reply = (laptop.calls.look = await call("GET", `/device/${scene}`, undefined, token));
  if (succeeded(reply)) state.scan = { scene, laptop, again, token, asks: reply.answer.body };
  else fail({ app: SITE, again }, reply);
  draw();
}

/** A login whose token goes to the laptop: with a code of wx.login, and the number that was chosen. */
export async function allow() {
  const { scan } = state;
  const { number: match } = scan;
  if (!match) return;
  const minted = await call("POST", "/_simulator/codes", { person: personId(), appid: APPS[SITE] });
  await decide(scan, "allowed", "approve", { code: minted.answer?.body?.codes?.[0], match });
}

export const deny = () => decide(state.scan, "denied", "deny");

/** What was scanned is asked of the one who is logged in: without that token the question is gone. */
export function dropScan() {
  if (state.scan?.asks && state.scan.token !== tokenOfPhone()) state.scan = null;
}

async function decide({ scene, laptop, again, token }, said, verb, body) {
  const reply = (laptop.calls.decide = await call("POST", `/device/${scene}/${verb}`, body, token));
  if (succeeded(reply)) return end(said);
  state.scan = null;
  fail({ app: SITE, again }, reply);
  draw();
}

function end(said) {
  state.scan = { said };
  say(words().scan.said[said]);
  draw();
}

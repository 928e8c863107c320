// The token in the box: the one that the phone has in the open mini program, or the last one that it had there. Several
// places of the page show what holds for it, and all of them take it from here.

import { call, fetchTrust, knownAbout } from "./asking.js";
import { pause } from "./dom.js";
import { APPS } from "./people.js";
import { blockOf } from "./services.js";
import { draw, personId, refreshAccounts, say, state } from "./state.js";
import { verify } from "./verify.js";
import { words } from "./words.js";

const GLANCE = 250; // ms between two questions to services that have not read of a revocation
const PATIENCE = 60_000; // ms, after which nobody asks any more whether they have

/** Seconds since 1970, the clock of every claim. */
export const now = () => Math.floor(Date.now() / 1000);

/**
 * Verifies the text in the box, and asks two services about it: one verifies by itself, the other has a sidecar verify.
 * `held` gets `checks`, `service` and `sidecar`, all at once, unless a later examination has begun.
 */
export async function examine(held) {
  const turn = (held.turn = (held.turn ?? 0) + 1);
  const asked = ["/demo/orders", "/verify"].map((path) => call("GET", path, undefined, held.text));
  const [checks, service, sidecar] = await Promise.all([verify(held.text, held.trust, now()), ...asked]);
  if (turn === held.turn) Object.assign(held, { checks, service, sidecar });
}

/**
 * `state` is "none" (nothing is known), "accepted", "ending" (revoked, but not every service has read that), "refused" or
 * "unknown" (a service did not answer); `by` is what refuses: the id of a check, "ended", or "service" for any other reason.
 */
export function verdictOf(held) {
  if (!held?.checks) return { state: "none" };
  const failed = held.checks.find(({ ok }) => ok === false);
  if (failed) return { state: "refused", by: failed.id };
  const statuses = [held.service, held.sidecar].map(({ answer }) => answer?.status ?? 503);
  if (statuses.some((status) => status >= 500)) return { state: "unknown" };
  if (statuses.includes(200)) return { state: held.ended || statuses.includes(401) ? "ending" : "accepted" };
  return { state: "refused", by: held.service.answer.body?.ended ? "ended" : "service" };
}

/** What holds for the token; nothing is said of it while a request of the phone is under way. */
export const verdict = () => (state.busy ? { state: "none" } : verdictOf(state.held));
export const mayEnd = () => verdict().state === "accepted" && state.ending?.ms !== null;
export const hasToken = ({ app, token }) => state.sessions[app]?.answer.access_token === token;

/** Takes up the token of a login. What the services are asked for first becomes part of its `evidence`. */
export async function hold(app, evidence = {}) {
  const [session, person] = [state.sessions[app], personId()];
  const [trust, known] = [await fetchTrust(evidence), await knownAbout(person, APPS[app])];
  if (session !== state.sessions[state.app]) return; // another person or mini program was chosen meanwhile
  const { at, answer: { access_token: token, user_id: userId } } = session;
  if (state.ending?.ms === null) state.ending = null; // the token that its clock runs for is not shown any more
  state.held = { token, text: token, at, userId, person, app, trust, known };
}

/** Puts another text into the box. */
export async function spoil(text) {
  Object.assign(state.held, { text, checks: null });
  draw();
  await reexamine();
}

/** Asks again what holds for the text in the box. */
export async function reexamine() {
  const { held } = state;
  if (!held) return;
  await examine(held);
  draw();
  await settle(held);
}

/** Asks again and again while a service has not read that the token was revoked. */
export function settle(held) {
  if (held) held.watching ??= watch(held).finally(() => (held.watching = null));
  return held?.watching;
}

async function watch(held) {
  const began = performance.now();
  while (held === state.held && verdictOf(held).state === "ending" && performance.now() - began < PATIENCE) {
    await pause(GLANCE);
    await examine(held);
    draw();
  }
}

/** wxmint has answered that this token is revoked. After a logout or an unbinding the phone has it no more. */
export async function ended(act, held) {
  held.ended = true;
  state.ending = held === state.held ? { act, held, ms: null, began: performance.now() } : null;
  const hasSameToken = ({ answer }) => answer.access_token === held.token;
  const hasSameUser = ({ answer }) => answer.user_id === held.userId;
  const isOver = { logout: hasSameToken, unbind: hasSameToken, everywhere: hasSameUser };
  for (const [app, session] of Object.entries(state.sessions)) if (isOver[act]?.(session)) delete state.sessions[app];
  Object.assign(state, { failure: null, consent: null }); // what lay over the screen of that login; see dropScan
  draw();
  await refreshAccounts();
  draw();
}

export async function lift(userId) {
  const { answer } = await call("DELETE", blockOf(userId));
  const text = words().services;
  if (answer?.status !== 204) {
    state.ending = { act: "lift", failed: answer?.body?.code ?? answer?.status ?? words().noAnswer };
    say(text.clock.failed(text.acts.lift, state.ending.failed));
    return draw();
  }
  await refreshAccounts();
  if (state.failure?.code === "user_blocked") state.failure.closed = true; // the phone may log in again
  say(text.lifted);
  draw();
  document.querySelector("[data-testid=ask-services]").focus(); // the button that was pressed is gone
}

/** The clock stands still when no service accepts the token any more. */
export function stopClock() {
  const { ending, held } = state;
  if (ending?.ms !== null || ending.held !== held || verdictOf(held).by !== "ended") return;
  ending.ms = performance.now() - ending.began;
  say(words().services.clock.stopped(words().services.acts[ending.act], ending.other));
}

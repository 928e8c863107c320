// What holds for the token in the box. Several places of the page show it, and all of them take it from here.

import { call } from "./asking.js";
import { verify } from "./verify.js";

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

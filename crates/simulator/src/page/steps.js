// From the evidence of an attempt to the steps that it took. Knows no element; diagram.js draws what comes of it.

import { parseJson } from "./asking.js";
import { words } from "./words.js";

/**
 * The steps of an attempt, by name and in their order. An attempt holds what was asked for: `unbinding`, or
 * `by` what a login went beside WeChat's identity (nothing, "password" or "phone") and the `ticket` that stood for a code.
 */
export function courseOf(attempt) {
  const { unbinding, by, ticket } = attempt ?? {};
  if (unbinding) return ["unbind", "dissolve", "unbound"];
  return [
    ...(by === "phone" ? ["phoneCode"] : []),
    ...(ticket ? ["post", "ticket"] : ["code", "post", "claim", "session", "record"]),
    ...(by === "phone" ? ["number"] : []),
    ...(by ? ["account", "bind"] : []),
    "answer",
    "verify",
  ];
}

/**
 * The same with what happened, each `{ name, state, ms, notes, exchanges, label, plan }`, `plan` being its label before
 * it has happened. The evidence: `phoneMinted` and `minted` (the codes), `sent` and `reply`, `journal` (what the stand-ins
 * were asked, see journalOf), `metadata`, `keys` and `checks`; what is missing has not happened.
 */
export function readSteps(attempt) {
  return courseOf(attempt).map((name) => {
    const text = words().steps[name];
    const plan = text.label[attempt?.by] ?? text.label;
    const step = { name, plan, label: plan, state: "idle", ms: null, notes: [text.note], exchanges: [] };
    const read = { ...step, ...(attempt && READERS[name](attempt, text)) };
    return { ...read, notes: read.notes.filter((note) => typeof note === "string") };
  });
}

const READERS = {
  phoneCode: ({ phoneMinted }) => readMinted(phoneMinted),
  code: ({ minted }) => readMinted(minted),
  post(attempt, text) {
    const notes = [attempt.ticket ? text.ticket : text.note, text[attempt.by]];
    const arrived = attempt.journal.session.length ? { state: "done" } : {};
    return { ...arrived, ...readSent(attempt), notes };
  },
  claim: (attempt, text) =>
    inStore(attempt, text, { done: attempt.journal.session.length > 0, refusal: "code_used" }),
  ticket: (attempt, text) =>
    inStore(attempt, text, { done: attempt.journal.account.length + attempt.journal.number.length > 0, refusal: "code_used" }),
  session({ reply, journal: { session } }, text) {
    if (reply && !reply.answer) return { state: "unseen" };
    if (!session.length) return reply ? { state: "skipped", notes: [text.skipped] } : {};
    const notes = [text.note, session.at(-1).fault === "latency" && text.slow];
    return { state: gaveOpenid(session.at(-1)) ? "done" : "failed", ms: tookOf(session), notes, exchanges: session.map(asExchange) };
  },
  record(attempt, text) {
    const { reply, viaUnionid, journal: { session } } = attempt;
    const code = reply && codeOf(reply);
    // The business was asked, so WeChat's answer had been kept.
    const done = ["binding_required", "invalid_credentials", "already_bound"].includes(code);
    const note = code === "binding_required" ? text.nobody : viaUnionid && text.unionid;
    return inStore(attempt, text, { done, note, skipped: Boolean(reply?.answer) && !session.some(gaveOpenid) });
  },
  number({ reply, journal: { number } }, text) {
    if (!number.length) return reply ? { state: "skipped", notes: [text.skipped] } : {};
    const given = parseJson(number.at(-1).body)?.errcode === 0;
    const notes = [text.note, number.length > 1 && text.token];
    return { state: given ? "done" : "failed", ms: tookOf(number), notes, exchanges: number.map(asExchange) };
  },
  account({ by, reply, journal: { account } }, text) {
    const note = text.note[by];
    if (!account.length) return { state: reply ? "skipped" : "idle", notes: [reply ? text.skipped : note] };
    const named = Boolean(parseJson(account.at(-1).body)?.user_id);
    const notes = [note, text.signed, !named && text.refused];
    return { state: named ? "done" : "failed", ms: tookOf(account), notes, exchanges: account.map(asExchange) };
  },
  bind: (attempt, text) => inStore(attempt, text, { refusal: "already_bound", skipped: attempt.reply?.answer?.status < 500 }),
  answer: readAnswer,
  verify({ reply, metadata, keys, checks, verifyMs }, text) {
    if (reply && !succeeded(reply)) return { state: "skipped", notes: [text.skipped] };
    if (!checks) return {};
    const accepted = checks.every((check) => check.ok);
    return { state: accepted ? "done" : "failed", ms: metadata.ms + keys.ms + verifyMs, exchanges: [metadata, keys] };
  },
  unbind: readSent,
  dissolve: (attempt, text) => inStore(attempt, text, { skipped: attempt.reply?.answer?.status < 500 }),
  unbound: readAnswer,
};

function readMinted(minted) {
  if (!minted) return {};
  return { state: minted.answer?.status === 200 ? "done" : "failed", ms: minted.ms, exchanges: [minted] };
}

function readSent({ sent, reply }) {
  if (!reply) return { exchanges: sent ? [{ request: sent }] : [] };
  return { state: reply.answer ? "done" : "failed", exchanges: [{ request: reply.request }] };
}

/**
 * What happens in the store, which the page cannot look into: it concludes it from the answer. `refusal` is the code of a
 * problem that this step leads to; `skipped` says that the step was not reached.
 */
function inStore({ reply }, text, { done = false, refusal, skipped = false, note }) {
  const description = [text.note, words().insideStore];
  if (done || (reply && succeeded(reply))) return { state: "done", notes: [...description, note] };
  if (!reply) return { notes: description };
  if (refusal && codeOf(reply) === refusal) return { state: "failed", notes: [...description, text.refused] };
  return skipped ? { state: "skipped", notes: [text.skipped] } : { state: "unseen", notes: [...description, words().unseen] };
}

function readAnswer({ reply }, text) {
  if (!reply) return {};
  const { answer, ms } = reply;
  const label = succeeded(reply) ? text.label : answer ? words().refusedWith(answer.status) : words().noAnswer;
  return { state: succeeded(reply) ? "done" : "failed", ms, label, exchanges: [{ answer, silent: !answer }] };
}

/** Whether a request did what it should. */
export const succeeded = (reply) => [200, 204].includes(reply?.answer?.status);

const codeOf = (reply) => reply.answer?.body?.code;

/** The time that a stand-in took to answer, or null where it never did. */
export function tookOf(entries) {
  const answered = entries.filter((entry) => entry.status);
  return answered.length ? answered.reduce((sum, entry) => sum + entry.took_ms, 0) : null;
}

/** Whether WeChat's answer let the login go on: no errcode and an openid (it says status 200 to errors as well). */
function gaveOpenid(entry) {
  const body = parseJson(entry.body);
  return Boolean(body?.openid) && !Number(body.errcode ?? 0);
}

function asExchange(entry) {
  const query = Object.entries(entry.query).map(([name, value]) => `${name}=${value}`);
  const path = query.length ? `${entry.path}?${query.join("&")}` : entry.path;
  const request = { method: entry.method, path, headers: {}, body: parseJson(entry.request_body) };
  if (!entry.status) return { request, silent: true };
  const headers = entry.content_type ? { "content-type": entry.content_type } : {};
  return { request, answer: { status: entry.status, headers, text: entry.body } };
}

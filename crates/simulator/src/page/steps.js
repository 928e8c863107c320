// From the evidence of an attempt to the steps that it took. Knows no element; diagram.js draws what comes of it.

import { parseJson } from "./asking.js";
import { words } from "./words.js";

/**
 * The steps of an attempt, by name and in their order. An attempt holds what was asked for: `unbinding`, `decrypting`, or
 * `by` what a login went beside WeChat's identity (nothing, "password" or "phone") and the `ticket` that stood for a code.
 */
export function courseOf(attempt) {
  const { unbinding, decrypting, by, ticket } = attempt ?? {};
  if (unbinding) return ["unbind", "dissolve", "unbound"];
  if (decrypting) return ["handed", "userData", "unseal", "opened"];
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
 * it has happened. The evidence: `phoneMinted`, `minted` or `given` (the codes), `handed` (sealed data), `sent` and
 * `reply`, `journal` (what the stand-ins were asked, see journalOf), `metadata`, `keys` and `checks`; what is missing has
 * not happened.
 */
export function readSteps(attempt) {
  return courseOf(attempt).map((name) => {
    const text = words().steps[name];
    const plan = text.label[attempt?.by] ?? text.label;
    const step = { name, plan, label: plan, state: "idle", ms: null, notes: text.note ? [text.note] : [], exchanges: [] };
    return attempt ? { ...step, ...READERS[name](attempt, text) } : step;
  });
}

const READERS = {
  phoneCode: ({ phoneMinted }) => readMinted(phoneMinted),
  code: ({ given, minted }, text) => (given ? { state: "skipped", notes: [text[given]] } : readMinted(minted)),
  post: readRequest,
  claim: readClaim,
  ticket: readTicket,
  session: readSession,
  record: readRecord,
  number: readNumber,
  account: readAccount,
  bind: readBinding,
  answer: readAnswer,
  verify: readVerifying,
  unbind: readSent,
  dissolve: readDissolving,
  unbound: readAnswer,
  handed: ({ handed }) => readMinted(handed),
  userData: readSent,
  unseal: readUnsealing,
  opened: readAnswer,
};

function readMinted(minted) {
  if (!minted) return {};
  return { state: minted.answer?.status === 200 ? "done" : "failed", ms: minted.ms, exchanges: [minted] };
}

const asSent = (sent) => ({ exchanges: sent ? [{ request: sent }] : [] });

function readSent({ sent, reply }) {
  return reply ? { state: reply.answer ? "done" : "failed", exchanges: [{ request: reply.request }] } : asSent(sent);
}

function readRequest({ by, ticket, reply, sent, journal }, text) {
  const notes = [ticket ? text.ticket : text.note, by && text[by]].filter(Boolean);
  if (!reply) return { state: journal.session.length ? "done" : "idle", notes, ...asSent(sent) };
  return { state: reply.answer ? "done" : "failed", notes, exchanges: [{ request: reply.request }] };
}

function readClaim({ reply, journal }, text) {
  if (journal.session.length || succeeded(reply)) return { state: "done" };
  if (!reply?.answer) return { state: reply ? "unseen" : "idle" };
  if (codeOf(reply) === "code_used") return { state: "failed", notes: [text.note, text.refused] };
  return { state: "unseen", notes: [text.note, text.unseen] };
}

function readTicket({ reply, journal }, text) {
  if (!reply) return {};
  if (succeeded(reply) || journal.account.length || journal.number.length) return { state: "done" };
  if (codeOf(reply) === "code_used") return { state: "failed", notes: [text.note, text.refused] };
  return { state: "unseen", notes: [text.note, text.unseen] };
}

function readSession({ reply, journal: { session } }, text) {
  if (reply && !reply.answer) return { state: "unseen" };
  if (!session.length) return reply ? { state: "skipped", notes: [text.skipped] } : {};
  const notes = [text.note];
  if (session.length > 1) notes.push(text.twice);
  const last = session.at(-1);
  if (last.fault === "latency") notes.push(text.slow);
  else if (last.fault) notes.push(text.fault(typeof last.fault === "string" ? last.fault : JSON.stringify(last.fault)));
  return { state: gaveOpenid(last) ? "done" : "failed", ms: tookOf(session), notes, exchanges: session.map(asExchange) };
}

function readRecord({ reply, journal: { session }, viaUnionid }, text) {
  if (!reply) return {};
  if (succeeded(reply)) return { state: "done", notes: [text.note, viaUnionid && text.unionid].filter(Boolean) };
  if (session.length && !session.some(gaveOpenid)) return { state: "skipped", notes: [text.skipped] };
  if (codeOf(reply) === "binding_required") return { state: "done", notes: [text.note, text.nobody] };
  if (!session.length && reply.answer) return { state: "skipped", notes: [text.skipped] };
  // The business was asked, so WeChat's answer had been kept.
  if (["invalid_credentials", "already_bound"].includes(codeOf(reply))) return { state: "done" };
  return { state: "unseen", notes: [text.note, text.unseen] };
}

function readNumber({ reply, journal: { number } }, text) {
  if (!number.length) return reply ? { state: "skipped", notes: [text.skipped] } : {};
  const notes = [text.note, number.length > 1 && text.token].filter(Boolean);
  const given = parseJson(number.at(-1).body)?.errcode === 0;
  return { state: given ? "done" : "failed", ms: tookOf(number), notes, exchanges: number.map(asExchange) };
}

function readAccount({ by, reply, journal: { account } }, text) {
  const note = text.note[by];
  if (!account.length) return { state: reply ? "skipped" : "idle", notes: [reply ? text.skipped : note] };
  const named = Boolean(parseJson(account.at(-1).body)?.user_id);
  const notes = [note, text.signed, !named && text.refused].filter(Boolean);
  return { state: named ? "done" : "failed", ms: tookOf(account), notes, exchanges: account.map(asExchange) };
}

function readBinding({ reply }, text) {
  if (!reply) return {};
  if (succeeded(reply)) return { state: "done" };
  if (codeOf(reply) === "already_bound") return { state: "failed", notes: [text.note, text.refused] };
  if (reply.answer?.status < 500) return { state: "skipped", notes: [text.skipped] };
  return { state: "unseen", notes: [text.note, text.unseen] };
}

function readDissolving({ reply }, text) {
  if (!reply) return {};
  if (succeeded(reply)) return { state: "done" };
  if (reply.answer?.status < 500) return { state: "skipped", notes: [text.skipped] };
  return { state: "unseen", notes: [text.note, text.unseen] };
}

function readUnsealing({ reply }, text) {
  if (!reply) return {};
  if (succeeded(reply)) return { state: "done" };
  if (codeOf(reply) === "data_undecryptable") return { state: "failed", notes: [text.note, text.refused] };
  return { state: "unseen", notes: [text.note, text.unseen] };
}

function readAnswer({ reply }, text) {
  if (!reply) return {};
  const { answer, ms } = reply;
  const label = succeeded(reply) ? text.label : answer ? text.refused(answer.status) : text.silent;
  return { state: succeeded(reply) ? "done" : "failed", ms, label, exchanges: [{ answer, silent: !answer }] };
}

function readVerifying({ reply, metadata, keys, checks, verifyMs }, text) {
  if (reply && !succeeded(reply)) return { state: "skipped", notes: [text.skipped] };
  if (!checks) return {};
  const accepted = checks.every((check) => check.ok);
  return { state: accepted ? "done" : "failed", ms: metadata.ms + keys.ms + verifyMs, exchanges: [metadata, keys] };
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

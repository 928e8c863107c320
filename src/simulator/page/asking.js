// Every request that the page makes. What comes back is kept whole, because the page shows it.

export const CODE2SESSION = "/sns/jscode2session";
const SHOWN_HEADERS = ["content-type", "cache-control", "etag", "retry-after", "x-request-id"];
const JOURNAL_TRIES = 5;
const JOURNAL_PAUSE = 100; // ms

/** Sends a request; returns `{ request, answer, ms }` as the page saw them, `answer` null if none came. */
export async function call(method, path, body) {
  const request = { method, path, body };
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const began = performance.now();
  try {
    // The keys of a demo that was stopped and started again must not come out of the browser's cache.
    const response = await fetch(path, { method, headers, body: sent, cache: "no-cache" });
    const text = await response.text();
    return { request, answer: readResponse(response, text), ms: performance.now() - began };
  } catch {
    return { request, answer: null, ms: performance.now() - began };
  }
}

function readResponse(response, text) {
  const present = SHOWN_HEADERS.filter((name) => response.headers.has(name));
  const headers = Object.fromEntries(present.map((name) => [name, response.headers.get(name)]));
  return { status: response.status, headers, text, body: parseJson(text) };
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Where the simulator's journal ends now. */
export async function journalEnd() {
  const { answer } = await call("GET", `/_simulator/journal?since=${Number.MAX_SAFE_INTEGER}`);
  return answer?.body?.next ?? 0;
}

/**
 * What was asked of the WeChat stand-in with `code` after `since`. If something is `expected`, waits a moment for it:
 * an exchange that wxmint gave up waiting for is written when the simulator notices.
 */
export async function journalOf(code, since, expected) {
  for (let tries = 1; ; tries += 1) {
    const { answer } = await call("GET", `/_simulator/journal?since=${since}`);
    const all = answer?.body?.entries ?? [];
    const entries = all.filter((entry) => entry.path === CODE2SESSION && entry.query.js_code === code);
    if (entries.length || !expected || tries === JOURNAL_TRIES) return entries;
    await new Promise((resolve) => setTimeout(resolve, JOURNAL_PAUSE));
  }
}

/** What WeChat's stand-in knows of a person in an app: openid, unionid, session_key, phone. */
export async function knownAbout(person, appid) {
  const { answer } = await call("GET", "/_simulator/people");
  const found = answer?.body?.people?.find(({ name }) => name === person);
  return { ...found?.apps?.[appid], phone: found?.phone };
}

/**
 * What a service is configured with: the issuer's name, the audience it answers to, the published keys.
 * The audience is the issuer, which is wxmint's default and the demo's setting.
 */
export async function fetchTrust(attempt) {
  attempt.metadata = await call("GET", "/.well-known/openid-configuration");
  const { issuer, jwks_uri: address } = attempt.metadata.answer?.body ?? {};
  // Only the path: the metadata may say localhost where the page was opened as 127.0.0.1.
  attempt.keys = await call("GET", address ? new URL(address).pathname : "/.well-known/jwks.json");
  return { issuer, audience: issuer, jwks: attempt.keys.answer?.body ?? { keys: [] } };
}

// Every request that the page makes. What comes back is kept whole, because the page shows it.

const CODE2SESSION = "/sns/jscode2session";
const PHONE_PATHS = ["/cgi-bin/stable_token", "/wxa/business/getuserphonenumber"];
const ACCOUNT_PATHS = ["/password-checks", "/users/by-phone", "/users", "/login-checks"];
const USUAL_HEADERS = ["content-type", "cache-control", "etag", "retry-after", "www-authenticate", "x-request-id"];
const SHOWN_HEADERS = [...USUAL_HEADERS, "x-user-id", "x-client-id", "x-token-id"];
const MASK = "••••••••";

let tellReach = () => {};

/** Names who is told after each request whether the demo's server has answered. */
export const onReach = (tells) => (tellReach = tells);

/** Sends a request, with an object as JSON or a text as a form. Returns `{ request, answer, ms }` as the page shows them, `answer` null if none came. */
export async function call(method, path, body, bearer) {
  const isForm = typeof body === "string";
  const shown = { ...(bearer && { authorization: `Bearer ${bearer}` }), ...(isForm && { "content-type": "application/x-www-form-urlencoded" }) };
  const request = { method, path, headers: shown, body: masked(body) };
  const headers = { ...(body === undefined ? {} : { "content-type": "application/json" }), ...shown };
  const sent = body === undefined || isForm ? body : JSON.stringify(body);
  const began = performance.now();
  // The keys of a demo that was stopped and started again must not come out of the browser's cache.
  const answer = await fetch(path, { method, headers, body: sent, cache: "no-cache" }).then(readResponse).catch(() => null);
  tellReach(answer !== null);
  return { request, answer, ms: performance.now() - began };
}

/** A body without the password that was typed. */
export const masked = (body) => (body?.password ? { ...body, password: MASK } : body);

async function readResponse(response) {
  const text = await response.text();
  const present = SHOWN_HEADERS.filter((name) => response.headers.has(name));
  const headers = Object.fromEntries(present.map((name) => [name, response.headers.get(name)]));
  return { status: response.status, headers, text, body: parseJson(text) };
}

/** The value of a JSON text, undefined if it is none. */
export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The JSON object of an answer, empty if there is none. */
const read = async (method, path, body) => (await call(method, path, body)).answer?.body ?? {};

/** Asks for something that every demo has, only to learn whether its server answers. */
export const knock = () => call("GET", "/.well-known/jwks.json");

/** Where the simulator's journal ends now. */
export const journalEnd = async () => (await read("GET", `/_simulator/journal?since=${Number.MAX_SAFE_INTEGER}`)).next ?? 0;

/** What was asked of the stand-ins for an attempt: `{ session, number, account }`, lists of entries of the journal. */
export async function journalOf({ since, code }) {
  const { entries: all = [] } = await read("GET", `/_simulator/journal?since=${since}`);
  const among = (paths) => all.filter((entry) => paths.includes(entry.path));
  const session = all.filter((entry) => entry.path === CODE2SESSION && entry.query.js_code === code);
  return { session, number: among(PHONE_PATHS), account: among(ACCOUNT_PATHS) };
}

const people = async () => (await read("GET", "/_simulator/people")).people ?? [];

/** What WeChat's stand-in knows of a person in an app: openid, unionid, session_key, phone. */
export async function knownAbout(person, appid) {
  const found = (await people()).find(({ name }) => name === person);
  return { ...found?.apps?.[appid], phone: found?.phone };
}

/** Of the phone's sessions, by app, those whose token a service still accepts. */
export async function stillAccepted(sessions) {
  const answers = await Promise.all(
    Object.values(sessions).map(({ answer }) => call("GET", "/demo/orders", undefined, answer.access_token)),
  );
  return Object.fromEntries(Object.entries(sessions).filter((_, n) => answers[n].answer?.status === 200));
}

/** The person's phone number. Who was never seen before comes into being. */
export const phoneNumber = async (person) => (await read("PUT", `/_simulator/people/${encodeURIComponent(person)}`, {})).phone ?? "";

/**
 * The users of the account service, each with `owner`, the person whose account it is, and `links`, the WeChat
 * identities that wxmint has bound to it: `{ appid, openid, person }`. Nothing if there is no answer.
 */
export async function readAccounts() {
  const [{ accounts }, everybody] = await Promise.all([read("GET", "/demo/accounts"), people()]);
  const withOpenid = (appid, openid) => everybody.find(({ apps }) => apps[appid]?.openid === openid)?.name;
  return accounts?.map((account) => ({
    ...account,
    owner: everybody.find(({ phone }) => phone === account.phone)?.name,
    links: account.wechat.map(({ appid, openid }) => ({ appid, openid, person: withOpenid(appid, openid) })),
  }));
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

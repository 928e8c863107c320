// Refuses wxmint's tokens that were ended before they expire: follows the issuer's signed revocation feed.
import { createHash } from "node:crypto";
import { jwtVerify } from "jose";

const EVERY = 5_000; // ms between two looks
const DEADLINE = 4_000; // ms for one page
const LONGEST_PAGE = 2 << 20; // bytes
const MOST_PAGES = 1_000; // in one look
const MOST_REVOCATIONS = 1_000_000; // held in memory; of more, those of the kind with most that end first are dropped, but no key
const FORGET_EVERY = 60; // seconds, by the time of the pages: a look at so many takes long
const MAX_AGE = 60; // seconds; what to do when the knowledge is older:
const FAIL = "open"; // "open" goes on and warns; "closed" answers 503
const FIRST_PAGE_WITHIN = 10; // seconds; "open" goes on without a first page after that
const REFRESH_EVERY = 10; // seconds; keys for a page of a key that is not known
const LEEWAY = 60; // seconds by which clocks may differ

const SHAPES = {
  sub: (hash, before, until) => isHash(hash) && isTime(before) && isTime(until),
  app: (hash, before, until) => isHash(hash) && isTime(before) && isTime(until),
  jti: (hash, until) => isHash(hash) && isTime(until),
  kid: (kid, until) => typeof kid === "string" && kid !== "" && isTime(until),
};
const isHash = (value) => typeof value === "string" && /^[\w-]{16}$/.test(value);
const isTime = (value) => Number.isSafeInteger(value) && value >= 0;
const now = () => Date.now() / 1000;
const uptime = () => performance.now() / 1000; // for durations: the clock may be set

export class Revocations {
  #held = new Map(); // "sub HASH" and "app HASH": { before, until }; "jti HASH" and "kid KID": { until }
  #cursor = "";
  #newest = 0; // the greatest `iat` of a page
  #forgotAt = 0; // #newest, when it forgot last
  #complete; // the greatest `iat` of a page after which there was no more
  #began; // when there were keys for the first time
  #warned = -Infinity;
  #refreshed = -Infinity;
  #lackingUntil = 0; // until when a revocation that was dropped may be needed

  // `keys` returns what jose verifies with, or undefined while there are none. `refresh` fetches them anew.
  constructor(issuer, keys, refresh) {
    [this.issuer, this.keys, this.refresh] = [issuer, keys, refresh];
  }

  // Whether a verified token was ended. To be asked about each request, also where a token is remembered as good.
  has({ kid }, { sub, client_id, jti, iat }) {
    const before = (kind, value) => this.#held.get(`${kind} ${this.#hash(value)}`)?.before ?? -1;
    if (iat <= before("sub", sub) || iat <= before("app", `${sub}\0${client_id}`)) return true;
    return this.#held.has(`jti ${this.#hash(jti)}`) || this.#held.has(`kid ${kid}`);
  }

  // Whether no token can be judged now: answer 503.
  get unavailable() {
    if (FAIL === "closed") return this.age > MAX_AGE || now() < this.#lackingUntil;
    return this.#complete === undefined && !(uptime() - this.#began > FIRST_PAGE_WITHIN);
  }

  // Seconds; for your metrics.
  get age() {
    return this.#complete === undefined ? Infinity : now() - this.#complete;
  }

  async follow() {
    if (this.keys()) await this.#look();
    setTimeout(() => this.follow(), this.#began ? EVERY : 200).unref();
  }

  async #look() {
    let trouble;
    this.#began ??= uptime();
    try {
      for (let page = 0; page < MOST_PAGES && this.#take(await this.#fetch()); page++);
    } catch (error) {
      trouble = error.message; // What is known stays, whatever it was.
      // After `wxmint keys retire --now`, a key signs that is not known yet. No stranger can make us fetch it.
      if (error.code === "ERR_JWKS_NO_MATCHING_KEY" && uptime() - this.#refreshed > REFRESH_EVERY) {
        this.#refreshed = uptime();
        await this.refresh();
        return this.#look();
      }
    }
    // If this machine's clock has stepped back, it refuses new pages: what is known is as old as that.
    if (this.#complete > now() + LEEWAY) this.#complete = 2 * now() - this.#complete;
    if (now() < this.#lackingUntil) trouble ??= "too many revocations; the oldest were dropped";
    if ((trouble || this.age > MAX_AGE) && uptime() - this.#warned > 60) {
      console.warn(`revocations are ${this.age} s old: ${trouble ?? "the issuer's newest page is old"}`);
      this.#warned = uptime();
    }
  }

  async #fetch() {
    const url = new URL(`${this.issuer}/revocations`);
    if (this.#cursor) url.searchParams.set("after", this.#cursor);
    const text = await read(url, LONGEST_PAGE, DEADLINE);
    const expected = { issuer: this.issuer, algorithms: ["ES256", "EdDSA", "RS256"], clockTolerance: LEEWAY };
    // The algorithm is the key's. An access token is no page: its typ is another.
    Object.assign(expected, { typ: "revocations+jwt", maxTokenAge: "5m", requiredClaims: ["iss", "iat", "exp"] });
    const { payload, protectedHeader } = await jwtVerify(text, this.keys(), expected);
    // Of what `crit` may name, jose takes b64.
    if (protectedHeader.typ !== "revocations+jwt" || protectedHeader.crit) throw new Error("not a page");
    return { ...payload, kid: protectedHeader.kid };
  }

  // A page counts as a whole or not at all. Returns whether there is more.
  #take({ kid, iat, after, cursor, more, revoked }) {
    // Each replica of wxmint keeps a page for a second, and after a failover its clock may be a little behind.
    if (iat < this.#newest - LEEWAY) throw new Error("a much older page than the newest one");
    if (after !== "" && after !== this.#cursor) throw new Error("a page that was not asked for");
    if (typeof cursor !== "string" || typeof more !== "boolean") throw new Error("a malformed page");
    if (more && cursor === this.#cursor) throw new Error("a page that leads to itself");
    if (!Array.isArray(revoked) || !revoked.every(isEnd)) throw new Error("a malformed end");
    const endsIt = ([kind, value]) => kind === "kid" && value === kid;
    if (this.#held.has(`kid ${kid}`) || revoked.some(endsIt)) throw new Error("the page's key is ended");
    this.#newest = Math.max(iat, this.#newest);
    for (const [kind, value, ...times] of revoked) {
      if (!Object.hasOwn(SHAPES, kind)) continue; // of a newer issuer
      const [before, until] = kind === "sub" || kind === "app" ? times : [0, times[0]];
      const name = `${kind} ${value}`;
      const held = this.#held.get(name) ?? { before: 0, until: 0 };
      const merged = { before: Math.max(held.before, before), until: Math.max(held.until, until) };
      if (this.#needs(merged)) this.#held.set(name, merged);
    }
    if (!more) this.#complete = Math.max(iat, this.#complete ?? 0);
    if (this.#newest - this.#forgotAt >= FORGET_EVERY || this.#held.size > MOST_REVOCATIONS) this.#forget();
    this.#cursor = cursor;
    return more;
  }

  // Drops what can concern no valid token any more, and what is too much: by the time of the newest page, because this
  // machine's clock may be wrong, and what is forgotten is never learnt again.
  #forget() {
    this.#forgotAt = this.#newest;
    for (const [name, end] of this.#held) if (!this.#needs(end)) this.#held.delete(name);
    while (this.#held.size > MOST_REVOCATIONS) {
      const kinds = ["sub", "app", "jti"].map((kind) => [...this.#held].filter(([name]) => name.startsWith(kind)));
      const most = kinds.sort((a, b) => b.length - a.length)[0].sort((a, b) => a[1].until - b[1].until);
      if (!most.length) return;
      const dropped = most.slice(0, Math.ceil(most.length / 8));
      for (const [name] of dropped) this.#held.delete(name);
      this.#lackingUntil = Math.max(this.#lackingUntil, dropped.at(-1)[1].until + 2 * LEEWAY);
    }
  }

  // Until the last token has expired that it names: for the leeway, and for as long again by a clock that is behind.
  #needs({ until }) {
    return until + 2 * LEEWAY > this.#newest;
  }

  // The feed names nobody: the first 12 bytes of SHA-256, as base64url.
  #hash(value) {
    return createHash("sha256").update(`${this.issuer}\0${value}`).digest().subarray(0, 12).toString("base64url");
  }
}

function isEnd(end) {
  if (!Array.isArray(end) || typeof end[0] !== "string") return false;
  return !Object.hasOwn(SHAPES, end[0]) || SHAPES[end[0]](...end.slice(1));
}

// The text of an answer with status 200, of at most so many bytes, also where gzip has packed them, within so many ms. Node may
// collect a request as garbage while it is under way, and then the signal ends neither the request nor the body. So each step
// ends with the time, too.
export async function read(url, longest, deadline) {
  const late = new AbortController();
  const overdue = new Promise((_, reject) => late.signal.addEventListener("abort", () => reject(late.signal.reason)));
  overdue.catch(() => {}); // Nobody may be waiting for it.
  const timer = setTimeout(() => late.abort(new Error("no answer in time")), deadline);
  let reader;
  try {
    const response = await Promise.race([fetch(url, { redirect: "error", signal: late.signal }), overdue]);
    reader = response.body?.getReader();
    if (response.status !== 200) throw new Error(`the issuer answers ${response.status}`);
    const chunks = [];
    for (let length = 0; ; ) {
      const { done, value } = await Promise.race([reader.read(), overdue]);
      if (done) return Buffer.concat(chunks).toString();
      chunks.push(value);
      if ((length += value.length) > longest) throw new Error("the issuer's answer is too long");
    }
  } finally {
    clearTimeout(timer);
    late.abort();
    reader?.cancel().catch(() => {});
  }
}

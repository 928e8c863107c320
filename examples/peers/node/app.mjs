// An API that takes wxmint's tokens: Express and jose.
import express from "express";
import { createLocalJWKSet, jwtVerify } from "jose";
import { Revocations } from "./revocations.mjs";

// wxmint's WXMINT_ISSUER and WXMINT_AUDIENCE. https everywhere but on one machine.
const ISSUER = "http://127.0.0.1:8080";
const AUDIENCE = ISSUER;

const LONGEST_TOKEN = 8192;
const EXPECTED = {
  issuer: ISSUER,
  audience: AUDIENCE,
  typ: "at+jwt", // not something else that the same key has signed
  algorithms: ["ES256", "EdDSA", "RS256"], // and of these, the key's own
  requiredClaims: ["sub", "client_id", "iat", "exp", "jti"], // jose checks of a time only what is there
  maxTokenAge: "30d", // the longest that wxmint can be set to; without it jose takes an `iat` in the future
  clockTolerance: 60, // seconds; wxmint keeps a key published for that much longer
};

// The issuer's keys. A key is published half an hour before it signs, so a token never makes us fetch: a stranger could
// otherwise have us ask as often as he likes, or wait for an issuer that is away, as createRemoteJWKSet does.
const EVERY = 300_000; // ms; a removed key is believed for so long
const EVERY_WHILE_NONE = 2_000;
const KEYS_MAX_AGE = 86_400_000; // ms; keys that the issuer has not confirmed for so long are no longer believed
let keys;
let confirmed;

// What was ended before it expired: revocations.mjs asks for it every 5 s.
const revocations = new Revocations(ISSUER, () => keys, refresh);

async function refresh() {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error("no keys in time")), 5_000);
  try {
    const options = { redirect: "error", signal: late.signal };
    const response = await fetch(`${ISSUER}/.well-known/jwks.json`, options);
    const set = await response.json();
    // jose refuses a whole set for one member that is no object. It obeys `use` and `key_ops` itself.
    const objects = set.keys?.filter((key) => key !== null && typeof key === "object" && !Array.isArray(key));
    if (!response.ok || !objects?.length) throw new Error(`no keys, but ${response.status}`);
    const byName = createLocalJWKSet({ keys: objects });
    keys = (header, token) => {
      // jose would try a key that nobody has named, and revocations.mjs would not know which key was used.
      if (typeof header.kid !== "string") throw new Error("no kid");
      return byName(header, token);
    };
    confirmed = Date.now();
  } catch (error) {
    console.warn(`keys are not refreshed: ${error.message}`); // The last good ones stay.
    if (Date.now() - confirmed > KEYS_MAX_AGE) keys = undefined;
  } finally {
    clearTimeout(timer);
  }
}

async function keepFresh() {
  await refresh();
  setTimeout(keepFresh, keys ? EVERY : EVERY_WHILE_NONE).unref();
}

async function currentUser(request, response, next) {
  // Node's `headers` has the first of two, where a proxy before us may have looked at the other one.
  const sent = request.headersDistinct.authorization;
  if (!sent) return response.set("WWW-Authenticate", "Bearer").sendStatus(401);
  if (!keys || revocations.unavailable) return response.set("Retry-After", "2").sendStatus(503);
  try {
    const [, token] = (sent.length === 1 && /^Bearer ([\w.-]+)$/i.exec(sent[0])) || [];
    if (!token || token.length > LONGEST_TOKEN) throw new Error("not one token");
    // Refuses every `crit`; obeys no jwk, jku, x5u.
    const { payload, protectedHeader } = await jwtVerify(token, keys, EXPECTED);
    if (typeof payload.sub !== "string" || typeof payload.client_id !== "string") throw new Error("not a user");
    if (revocations.has(protectedHeader, payload)) throw new Error("ended");
    request.user = { user_id: payload.sub, client_id: payload.client_id };
  } catch (error) {
    console.info(`refused: ${error.message}`);
    return response.set("WWW-Authenticate", 'Bearer error="invalid_token"').sendStatus(401);
  }
  next();
}

const app = express();
app.disable("x-powered-by");
app.get("/orders", currentUser, (request, response) => response.json(request.user));
app.get("/public/hello", (request, response) => response.json({ hello: "everybody" }));

await keepFresh();
await revocations.follow();
app.listen(8000, "127.0.0.1");

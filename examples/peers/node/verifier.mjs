// Verifies wxmint's tokens with jose: keeps the issuer's keys, and knows what was ended by revocations.mjs.
import { createLocalJWKSet, jwtVerify } from "jose";
import { Revocations, read } from "./revocations.mjs";

const LONGEST_TOKEN = 8192;
const LONGEST_SET = 65_536; // bytes
const DEADLINE = 5_000; // ms for the keys
const LONGEST_LIFE = 30 * 86_400; // seconds; no wxmint can be set to more
const EXPECTED = {
  typ: "at+jwt", // not something else that the same key has signed
  algorithms: ["ES256", "EdDSA", "RS256"], // and of these, the key's own
  requiredClaims: ["sub", "client_id", "iat", "exp", "jti"], // jose checks of a time only what is there
  maxTokenAge: LONGEST_LIFE, // without it jose takes an `iat` in the future
  clockTolerance: 60, // seconds; wxmint keeps a key published for that much longer
};

// The issuer's keys. A key is published half an hour before it signs, so a token never makes us fetch: a stranger could
// otherwise have us ask as often as he likes, or wait for an issuer that is away, as createRemoteJWKSet does.
const EVERY = 300_000; // ms; a removed key is believed for so long
const EVERY_WHILE_NONE = 2_000;
const KEYS_MAX_AGE = 86_400_000; // ms; keys that the issuer has not confirmed for so long are no longer believed

export class Verifier {
  #newest;
  #confirmed;
  #expected;
  #revocations; // what was ended before it expired: it asks every 5 s

  // wxmint's WXMINT_ISSUER and WXMINT_AUDIENCE, or the audience of your client.
  constructor(issuer, audience) {
    this.issuer = issuer;
    this.#expected = { ...EXPECTED, issuer, audience };
    this.#revocations = new Revocations(issuer, () => this.#keys, () => this.#refresh());
  }

  // Asks for keys and for revocations from now on.
  async follow() {
    await this.#keepFresh();
    await this.#revocations.follow();
  }

  // Those that are believed, by the age at each request: this machine may have slept, or its clock was ahead.
  get #keys() {
    return Math.abs(Date.now() - this.#confirmed) > KEYS_MAX_AGE ? undefined : this.#newest;
  }

  // Whether no token can be judged now: answer 503.
  get unavailable() {
    return !this.#keys || this.#revocations.unavailable;
  }

  // The claims of a good token. Whatever is wrong with it throws.
  async verify(token) {
    if (!token || token.length > LONGEST_TOKEN) throw new Error("not one token");
    // jose obeys no jwk, jku, x5u. Of what `crit` may name it takes b64.
    const { payload, protectedHeader } = await jwtVerify(token, this.#keys, this.#expected);
    if (protectedHeader.crit) throw new Error("crit");
    if (typeof payload.sub !== "string" || typeof payload.client_id !== "string") throw new Error("not a user");
    if (payload.exp - payload.iat > LONGEST_LIFE) throw new Error("lives too long");
    if (this.#revocations.has(protectedHeader, payload)) throw new Error("ended");
    return payload;
  }

  async #refresh() {
    try {
      const { keys } = JSON.parse(await read(`${this.issuer}/.well-known/jwks.json`, LONGEST_SET, DEADLINE));
      // jose refuses a whole set for one member that is no object. It obeys `use` and `key_ops` itself.
      const objects = keys.filter((key) => key !== null && typeof key === "object" && !Array.isArray(key));
      const named = objects.filter(({ kid, alg }) => typeof kid === "string" && EXPECTED.algorithms.includes(alg));
      const found = await Promise.allSettled(named.map((key) => createLocalJWKSet({ keys: [key] })({ alg: key.alg })));
      // jose looks at that only when it verifies.
      const isLong = ({ kty, n }) => kty !== "RSA" || Buffer.from(n, "base64url").length >= 256;
      const usable = named.filter((key, at) => found[at].value && isLong(key));
      if (!usable.length) throw new Error("no usable key");
      // Of two keys of one name, jose would choose neither.
      const isFirst = ({ kid }, at) => usable.findIndex((key) => key.kid === kid) === at;
      const byName = createLocalJWKSet({ keys: usable.filter(isFirst) });
      this.#newest = (header, token) => {
        // jose would try a key that nobody has named, and revocations.mjs would not know which key was used.
        if (typeof header.kid !== "string") throw new Error("no kid");
        return byName(header, token);
      };
      this.#confirmed = Date.now();
    } catch (error) {
      console.warn(`keys are not refreshed: ${error.message}`); // The last good ones stay.
    }
  }

  async #keepFresh() {
    await this.#refresh();
    setTimeout(() => this.#keepFresh(), this.#keys ? EVERY : EVERY_WHILE_NONE).unref();
  }
}

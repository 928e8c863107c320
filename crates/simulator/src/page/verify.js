// What a peer does with a token: RFC 9068 and RFC 8725, by WebCrypto, with the issuer's published keys alone.
// No other part of the page is needed to read this file, and nothing here asks the issuer about a token.

const LEEWAY = 60; // seconds that two clocks may differ
const LONGEST = 8 * 1024; // characters; longer input is refused before any work is done on it
const PUBLIC_MEMBERS = ["kty", "crv", "x", "y", "n", "e"];

const ED25519 = { kty: "OKP", crv: "Ed25519", key: { name: "Ed25519" }, use: { name: "Ed25519" } };
const ALGORITHMS = {
  ES256: {
    kty: "EC",
    crv: "P-256",
    key: { name: "ECDSA", namedCurve: "P-256" },
    use: { name: "ECDSA", hash: "SHA-256" },
  },
  EdDSA: ED25519,
  Ed25519: ED25519, // the name of RFC 9864 for the same thing
  RS256: {
    kty: "RSA",
    key: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    use: { name: "RSASSA-PKCS1-v1_5" },
  },
};

/** Why a token was refused: `reason` names the words for it, `got` is what was found in its place. */
class Refused extends Error {
  constructor(reason, got = "") {
    super(reason);
    this.reason = reason;
    this.got = got;
  }
}

/**
 * Verifies `token` against `trust` (`{ jwks, issuer, audience }`) at `now` (seconds).
 * Answers every check as `{ id, ok, reason, got }`; `ok` is null for those after the first that failed,
 * because nothing in a token may be believed once a check has failed.
 */
export async function verify(token, trust, now) {
  const seen = { token, trust, now };
  const results = [];
  let refused = false;
  for (const [id, check] of Object.entries(CHECKS)) {
    const result = refused ? { id, ok: null } : await run(id, check, seen);
    refused ||= result.ok === false;
    results.push(result);
  }
  return results;
}

async function run(id, check, seen) {
  try {
    return { id, ok: true, got: String(await check(seen)) };
  } catch (error) {
    if (error instanceof Refused) return { id, ok: false, reason: error.reason, got: error.got };
    return { id, ok: false, reason: "unexpected", got: error.message };
  }
}

/** The checks in the order in which a verifier must make them; each returns what it saw, or throws `Refused`. */
const CHECKS = {
  form(seen) {
    const { token } = seen;
    if (token.length > LONGEST) throw new Refused("tooLong", String(token.length));
    const parts = token.split(".");
    if (parts.length !== 3) throw new Refused("notThreeParts", String(parts.length));
    const [header, claims, signature] = parts.map(decodeBase64url);
    seen.header = parseObject(header);
    Object.assign(seen, { unverified: claims, signature });
    seen.signed = new TextEncoder().encode(`${parts[0]}.${parts[1]}`);
    for (const member of ["crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64", "cty"]) {
      if (member in seen.header) throw new Refused("memberRefused", member);
    }
    return parts.map((part) => part.length).join(" · ");
  },

  typ({ header }) {
    const typ = header.typ;
    const name = typeof typ === "string" ? typ.toLowerCase().replace(/^application\//, "") : "";
    if (name !== "at+jwt") throw new Refused("says", shown(typ));
    return typ;
  },

  kid(seen) {
    const { kid } = seen.header;
    const found = seen.trust.jwks.keys.filter((key) => typeof kid === "string" && key.kid === kid);
    if (found.length !== 1) throw new Refused("unknownKid", shown(kid));
    seen.jwk = found[0];
    return kid;
  },

  /** The key says which algorithm; the token only has to agree (RFC 8725 section 3.1). */
  alg(seen) {
    const { header, jwk } = seen;
    seen.algorithm = Object.hasOwn(ALGORITHMS, jwk.alg) ? ALGORITHMS[jwk.alg] : undefined;
    if (!seen.algorithm || seen.algorithm.kty !== jwk.kty || seen.algorithm.crv !== jwk.crv) {
      throw new Refused("keyUnusable", shown(jwk.alg));
    }
    if (header.alg !== jwk.alg) throw new Refused("says", shown(header.alg));
    return header.alg;
  },

  /** Only after this are the claims read at all. */
  async signature(seen) {
    const { jwk, algorithm, signature, signed } = seen;
    if (!globalThis.crypto?.subtle) throw new Refused("noWebCrypto");
    const publicPart = Object.fromEntries(PUBLIC_MEMBERS.filter((name) => name in jwk).map((name) => [name, jwk[name]]));
    const key = await crypto.subtle.importKey("jwk", publicPart, algorithm.key, false, ["verify"]);
    if (!(await crypto.subtle.verify(algorithm.use, key, signature, signed))) throw new Refused("badSignature");
    seen.claims = parseObject(seen.unverified);
    return `${jwk.alg}, ${signature.length} B`;
  },

  iss({ claims, trust }) {
    if (typeof claims.iss !== "string" || claims.iss !== trust.issuer) throw new Refused("says", shown(claims.iss));
    return claims.iss;
  },

  aud({ claims, trust }) {
    const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
    if (!audiences.includes(trust.audience)) throw new Refused("says", shown(claims.aud));
    return trust.audience;
  },

  exp({ claims, now }) {
    const { exp, iat, nbf = iat } = claims;
    if (![exp, iat, nbf].every(Number.isSafeInteger)) throw new Refused("notATime", shown(exp));
    if (now >= exp + LEEWAY) throw new Refused("expired", String(exp));
    if (Math.max(iat, nbf) > now + LEEWAY) throw new Refused("fromTheFuture", String(Math.max(iat, nbf)));
    return exp;
  },
};

/**
 * Decodes base64url strictly. The last character of a part can carry bits that belong to no byte; a decoder that
 * ignores them would take several spellings for the same signature, so only the one canonical spelling passes.
 */
export function decodeBase64url(text) {
  if (!/^[A-Za-z0-9_-]+$/.test(text) || text.length % 4 === 1) throw new Refused("notBase64url");
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const again = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  if (again !== text) throw new Refused("notCanonical");
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

/** A part's JSON object. */
export function parseObject(bytes) {
  try {
    const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // falls through: not UTF-8 and not JSON get the same answer
  }
  throw new Refused("notJson");
}

const shown = (value) => (value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));

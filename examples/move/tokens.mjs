// Who a token belongs to: the service's own tokens while there is OLD_SECRET and until OLD_UNTIL, wxmint's while there is ISSUER.
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";

const { OLD_SECRET, OLD_UNTIL, ISSUER, WXMINT_URL = ISSUER } = process.env;
const secret = OLD_SECRET && new TextEncoder().encode(OLD_SECRET);
const until = OLD_UNTIL ? Date.parse(OLD_UNTIL) : Infinity;
if (Number.isNaN(until)) throw new Error("OLD_UNTIL is no time");
const published = ISSUER && createRemoteJWKSet(new URL(`${WXMINT_URL}/.well-known/jwks.json`));

async function keys(header, token) {
  try {
    return await published(header, token);
  } catch (error) {
    if (error.code !== "ERR_JWKS_NO_MATCHING_KEY") error.status = 503; // The keys cannot be had; the token may be good.
    throw error;
  }
}

const OLD = { algorithms: ["HS256"], requiredClaims: ["uid", "exp"] }; // as before
const OURS = {
  issuer: ISSUER,
  audience: ISSUER,
  typ: "at+jwt",
  algorithms: ["ES256", "EdDSA", "RS256"], // of these, the key's own
  requiredClaims: ["sub", "exp"],
  clockTolerance: 60,
};

// The key decides the algorithm, never the token: with a `kid` it is a public key of wxmint, without one the secret.
// So nobody can use a public key as if it were the secret.
export async function userOf(token) {
  const { kid } = decodeProtectedHeader(token);
  if (kid && published) return (await jwtVerify(token, keys, OURS)).payload.sub;
  if (!kid && secret && Date.now() < until) return String((await jwtVerify(token, secret, OLD)).payload.uid);
  throw new Error("a token of a kind that is not accepted");
}

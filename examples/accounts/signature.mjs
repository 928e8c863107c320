// Checks that a request comes from wxmint and is what wxmint sent. Copy this file into your service.
import { createHash } from "node:crypto";
import { createRemoteJWKSet, jwtVerify } from "jose"; // npm install jose

// issuer: WXMINT_ISSUER. baseUrl: WXMINT_ACCOUNTS, as wxmint has it.
export function requestVerifier(issuer, baseUrl) {
  const base = baseUrl.replace(/\/+$/, "");
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`)); // keep it: it caches the keys
  const expected = {
    issuer,
    audience: base,
    typ: "wxmint-request+jwt", // wxmint signs access tokens with the same key: the type tells them apart
    algorithms: ["ES256", "EdDSA", "RS256"],
    requiredClaims: ["iat", "exp", "jti"],
    clockTolerance: 60,
  };

  // path is what follows baseUrl, body the bytes as they came (in Express: express.raw({ type: "*/*" })).
  return async function verify(authorization, method, path, body) {
    const { payload } = await jwtVerify((authorization ?? "").replace(/^Bearer /, ""), keys, expected);
    const digest = createHash("sha256").update(body).digest("base64url");
    if (payload.htm !== method || payload.htu !== base + path || payload.body_sha256 !== digest) {
      throw new Error("the token belongs to another request");
    }
  };
}

// node verify.mjs ISSUER TOKEN
// Accepts a revoked token until its exp: examples/peers/node also follows the revocations.
import { createRemoteJWKSet, jwtVerify } from "jose"; // npm install jose

const [issuer, token] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`)); // keep it: it caches the keys
const expected = {
  issuer,
  audience: issuer,
  typ: "at+jwt",
  algorithms: ["ES256", "EdDSA", "RS256"],
  requiredClaims: ["sub", "exp"],
  clockTolerance: 60,
};

try {
  const { payload, protectedHeader } = await jwtVerify(token, keys, expected);
  if (!protectedHeader.kid) throw new Error("no kid");
  console.log(payload.sub);
} catch (error) {
  console.error(`refused: ${error.message}`);
  process.exitCode = 1;
}

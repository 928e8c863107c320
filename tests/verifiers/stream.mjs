// A peer that verifies with jose: node stream.mjs JWKS_URL ISSUER MAX_AGE COOLDOWN (seconds)
//
// Prints its address. Answers each GET with 200 where the bearer token is valid, else with 401 and why.
import { createServer } from "node:http";

import { createRemoteJWKSet, jwtVerify } from "jose";

const [url, issuer, maxAge, cooldown] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(url), { cacheMaxAge: maxAge * 1000, cooldownDuration: cooldown * 1000 });
const expected = {
  issuer,
  audience: issuer,
  typ: "at+jwt",
  algorithms: ["ES256", "EdDSA", "RS256"],
  requiredClaims: ["sub", "exp"],
};

async function refusal(token) {
  try {
    await jwtVerify(token, keys, expected);
    return "";
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
}

const server = createServer(async (request, response) => {
  const why = await refusal(request.headers.authorization.replace(/^Bearer /, ""));
  response.statusCode = why ? 401 : 200;
  response.end(why);
});
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));

// A login by oauth4webapi: node oauth4webapi.mjs ISSUER CLIENT_ID SECRET REDIRECT_URI. tests/it/oidc/foreign.rs is its browser.
import { createInterface } from "node:readline";
import * as oauth from "oauth4webapi";

// Debian 12 has Node 18, where the libraries find no `crypto` by themselves.
globalThis.crypto ??= (await import("node:crypto")).webcrypto;

const [issuer, client_id, secret, redirect_uri] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const [client, auth, insecure] = [{ client_id }, oauth.ClientSecretPost(secret), { [oauth.allowInsecureRequests]: true }];
const discovered = await oauth.discoveryRequest(new URL(issuer), insecure);
const as = await oauth.processDiscoveryResponse(new URL(issuer), discovered);

async function login() {
  const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()];
  const to = new URL(as.authorization_endpoint);
  const asked = { client_id, redirect_uri, response_type: "code", scope: "openid offline_access", state, nonce, code_challenge_method: "S256" };
  for (const [name, value] of Object.entries(asked)) to.searchParams.set(name, value);
  to.searchParams.set("code_challenge", await oauth.calculatePKCECodeChallenge(verifier));
  console.log(to.href);
  const back = oauth.validateAuthResponse(as, client, new URL((await lines.next()).value), state);
  const answer = await oauth.authorizationCodeGrantRequest(as, client, auth, back, redirect_uri, verifier, insecure);
  return oauth.processAuthorizationCodeResponse(as, client, answer, { expectedNonce: nonce, requireIdToken: true });
}

const tokens = await login();
const { sub } = oauth.getValidatedIdTokenClaims(tokens);
const told = await oauth.userInfoRequest(as, client, tokens.access_token, insecure);
await oauth.processUserInfoResponse(as, client, sub, told);
const answer = await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, insecure);
const renewed = await oauth.processRefreshTokenResponse(as, client, answer);
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, renewed.refresh_token, insecure));
const ended = await oauth.userInfoRequest(as, client, renewed.access_token, insecure);
if (ended.status !== 401) throw new Error(`after the revocation: ${ended.status}`);
console.log(sub);
console.log(await login().then(() => "logged in", (error) => `refused: ${error.code ?? error.message}`));
process.exit();

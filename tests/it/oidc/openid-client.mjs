// A login by openid-client: node openid-client.mjs ISSUER CLIENT_ID SECRET REDIRECT_URI LOGOUT_URI. tests/it/oidc/foreign.rs
// is its browser.
import { createInterface } from "node:readline";
import * as client from "openid-client";

// Debian 12 has Node 18, where the libraries find no `crypto` by themselves.
globalThis.crypto ??= (await import("node:crypto")).webcrypto;

const [issuer, id, secret, redirect_uri, post_logout_redirect_uri] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const options = { execute: [client.allowInsecureRequests] };
const config = await client.discovery(new URL(issuer), id, undefined, client.ClientSecretBasic(secret), options);

async function login() {
  const [pkceCodeVerifier, expectedState, expectedNonce] = [client.randomPKCECodeVerifier(), client.randomState(), client.randomNonce()];
  const to = client.buildAuthorizationUrl(config, {
    redirect_uri, scope: "openid offline_access", state: expectedState, nonce: expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: "S256",
  });
  console.log(to.href);
  const back = new URL((await lines.next()).value);
  return client.authorizationCodeGrant(config, back, { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true });
}

const tokens = await login();
const { sub } = tokens.claims();
const renewed = await client.refreshTokenGrant(config, tokens.refresh_token);
await client.fetchUserInfo(config, renewed.access_token, sub);
const out = client.buildEndSessionUrl(config, { id_token_hint: renewed.id_token, post_logout_redirect_uri });
const left = await fetch(out, { redirect: "manual" });
if (left.status !== 303 || left.headers.get("location") !== post_logout_redirect_uri) throw new Error(`logout: ${left.status}`);
const ended = await client.refreshTokenGrant(config, renewed.refresh_token).then(() => "alive", (error) => error.error);
if (ended !== "invalid_grant") throw new Error(`after the logout: ${ended}`);
console.log(sub);
console.log(await login().then(() => "logged in", (error) => `refused: ${error.code ?? error.message}`));
process.exit();

// A website whose users log in by scanning with the mini program. The site is a client of wxmint with a secret.
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import express from "express";
import { Verifier } from "../../peers/node/verifier.mjs";

const { ISSUER, WXMINT_URL = ISSUER, CLIENT_ID, CLIENT_SECRET, SITE, AUDIENCE = ISSUER, PORT = "3000" } = process.env;
for (const name of ["ISSUER", "CLIENT_ID", "CLIENT_SECRET", "SITE"]) if (!process.env[name]) throw new Error(`set ${name}`);

// Over https alone, and for this host alone. On one's own machine there is http.
const SECURE = SITE.startsWith("https:");
const TOKEN = SECURE ? "__Host-token" : "token"; // the cookie that logs a user in
const SCAN = SECURE ? "__Host-scan" : "scan"; // the cookie of a browser that shows a code
const COOKIE = { httpOnly: true, secure: SECURE, sameSite: "lax", path: "/" };
const cookie = (request, name) => new RegExp(`(?:^|; )${name}=([\\w.-]+)`).exec(request.get("Cookie"))?.[1];

const tokens = new Verifier(ISSUER, AUDIENCE);

// The device codes of browsers that show a code, by the browser's cookie and the user code: two tabs show two codes. With
// several replicas, keep them where all replicas find them.
const pending = new Map();
const key = (request, userCode) => `${cookie(request, SCAN)} ${userCode}`;

function ask(path, options) {
  return fetch(`${WXMINT_URL}${path}`, { method: "POST", redirect: "error", signal: AbortSignal.timeout(8_000), ...options });
}

function askAsClient(path, fields) {
  const basic = Buffer.from([CLIENT_ID, CLIENT_SECRET].map(encodeURIComponent).join(":")).toString("base64");
  return ask(path, { headers: { Authorization: `Basic ${basic}` }, body: new URLSearchParams(fields) });
}

/** Hands wxmint's refusal on as it is: the page reads its `error`, and obeys its Retry-After. */
async function refuse(response, answer) {
  const after = answer.headers.get("Retry-After");
  if (after) response.set("Retry-After", after);
  response.status(answer.status).json(await answer.json());
}

async function start(request, response) {
  // The phone shows its owner who asks.
  const browser = { browser_address: request.ip, browser_user_agent: request.get("User-Agent") ?? "" };
  const answer = await askAsClient("/device_authorization", browser);
  if (!answer.ok) return refuse(response, answer);
  const { device_code, ...code } = await answer.json();
  const scan = cookie(request, SCAN) ?? randomBytes(32).toString("base64url");
  const name = `${scan} ${code.user_code}`;
  pending.set(name, { device_code });
  setTimeout(() => pending.delete(name), code.expires_in * 1000).unref();
  response.cookie(SCAN, scan, COOKIE).json(code);
}

async function poll(request, response) {
  const name = key(request, request.body?.user_code);
  const scan = pending.get(name);
  if (!scan) return response.status(400).json({ error: "expired_token" });
  // A device code gives one token. Asking once more, as a page that is loaded again would, ends that token.
  if (scan.asking) return response.status(400).json({ error: "slow_down" });
  scan.asking = true;
  const grant_type = "urn:ietf:params:oauth:grant-type:device_code";
  const asked = askAsClient("/token", { grant_type, device_code: scan.device_code });
  const answer = await asked.finally(() => (scan.asking = false));
  if (!answer.ok) return refuse(response, answer);
  pending.delete(name);
  const { access_token, expires_in } = await answer.json();
  const { sub } = await tokens.verify(access_token);
  response.cookie(TOKEN, access_token, { ...COOKIE, maxAge: expires_in * 1000 }).json({ user_id: sub });
}

/** Who is logged in. A token that was ended, by a ban or a logout anywhere, is refused within 10 s. */
async function currentUser(request, response, next) {
  if (tokens.unavailable) return response.set("Retry-After", "2").sendStatus(503);
  try {
    const { sub, client_id } = await tokens.verify(cookie(request, TOKEN));
    if (client_id !== CLIENT_ID) throw new Error("a token of another client");
    request.user = { user_id: sub };
  } catch {
    return response.clearCookie(TOKEN, COOKIE).sendStatus(401);
  }
  next();
}

/** The browser forgets the token in any case. 503 if wxmint has not ended it: whoever has a copy of it is still logged in. */
async function logOut(request, response) {
  const token = cookie(request, TOKEN);
  response.clearCookie(TOKEN, COOKIE);
  const answer = token && (await ask("/logout", { headers: { Authorization: `Bearer ${token}` } }));
  const isEnded = !answer || answer.ok || answer.status === 401; // 401: it had ended before
  response.sendStatus(isEnded ? 204 : 503);
}

/** A request that changes something comes from our own pages. */
function ownPages(request, response, next) {
  const from = request.get("Sec-Fetch-Site") ?? "same-origin";
  if (request.method === "POST" && from !== "same-origin") return response.sendStatus(403);
  next();
}

const app = express();
const folder = (path) => fileURLToPath(new URL(path, import.meta.url));
app.disable("x-powered-by");
app.set("trust proxy", "loopback"); // or whatever proxy is in front; without it, every browser has the proxy's address
app.use(ownPages, express.urlencoded({ extended: false }));
app.use((request, response, next) => {
  const picture = new URL(ISSUER).origin; // of the mini-program code
  response.set("Content-Security-Policy", `default-src 'self'; img-src 'self' ${picture}; frame-ancestors 'none'`);
  response.set("Cache-Control", "no-store");
  next();
});
app.post("/scan", start);
app.post("/scan/token", poll);
app.get("/me", currentUser, (request, response) => response.json(request.user));
app.post("/logout", logOut);
app.get("/wxmint-web.mjs", (_, response) => response.sendFile("wxmint-web.mjs", { root: folder("../../../clients/web") }));
app.use(express.static(folder("public")), express.static(folder("../page")));
app.use((error, request, response, next) => {
  console.warn(`${request.method} ${request.path}: ${error.message}`); // wxmint does not answer, or not with JSON
  response.set("Retry-After", "5").status(503).json({ error: "temporarily_unavailable" });
});

await tokens.follow();
const server = app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));

// A website whose users log in with WeChat: on the official account's page within WeChat, by WeChat's QR code elsewhere.
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import express from "express";
import { Verifier } from "../peers/node/verifier.mjs";

const { ISSUER, WXMINT_URL = ISSUER, ACCOUNT_APPID, SITE_APPID, SITE, AUDIENCE = ISSUER, PORT = "3000" } = process.env;
const { PROXIES = "loopback" } = process.env; // the addresses whose X-Forwarded-For says where a request comes from
const { WECHAT_URL = "https://open.weixin.qq.com" } = process.env; // or the simulator's
for (const name of ["ISSUER", "ACCOUNT_APPID", "SITE_APPID", "SITE"]) if (!process.env[name]) throw new Error(`set ${name}`);

// Over https alone, and for this host alone. On one's own machine there is http.
const SECURE = SITE.startsWith("https:");
const TOKEN = SECURE ? "__Host-token" : "token"; // the cookie that logs a user in
const STATE = SECURE ? "__Host-state" : "state"; // the cookie of a browser that has gone to WeChat
const COOKIE = { httpOnly: true, secure: SECURE, sameSite: "lax", path: "/" };
const STATE_LIFE = 600_000; // ms
const cookie = (request, name) => new RegExp(`(?:^|; )${name}=([\\w.-]+)`).exec(request.get("Cookie"))?.[1];

const tokens = new Verifier(ISSUER, AUDIENCE);

/** wxmint limits logins by the browser's address. Without it, all visitors would share this server's. */
function ask(path, request, headers, body) {
  const signal = AbortSignal.timeout(8_000);
  return fetch(`${WXMINT_URL}${path}`, { method: "POST", redirect: "error", signal, headers: { ...headers, "X-Forwarded-For": request.ip }, body });
}

/**
 * Which app the browser logs in to: WeChat's own browser shows the account's page, every other one a QR code. WeCom's
 * browser (wxwork) has WeChat's name too, but cannot open the account's page.
 */
function door(request) {
  const agent = request.get("User-Agent") ?? "";
  return /\bMicroMessenger\//.test(agent) && !/\bwxwork\//.test(agent)
    ? { appid: ACCOUNT_APPID, path: "/connect/oauth2/authorize", scope: "snsapi_userinfo" }
    : { appid: SITE_APPID, path: "/connect/qrconnect", scope: "snsapi_login" };
}

/** 1. The browser keeps a `state`, and takes it to WeChat. */
function goToWeChat(request, response) {
  const { appid, path, scope } = door(request);
  const state = randomBytes(24).toString("base64url");
  const query = new URLSearchParams({ appid, redirect_uri: `${SITE}/callback`, response_type: "code", scope, state });
  response.cookie(STATE, state, { ...COOKIE, maxAge: STATE_LIFE });
  response.redirect(`${WECHAT_URL}${path}?${query}#wechat_redirect`);
}

/** 3. WeChat has sent the browser back. Without its `state` the code may be a stranger's, and is not even sent on. */
async function comeBack(request, response) {
  const { code, state } = request.query;
  const own = cookie(request, STATE);
  if (!own || typeof code !== "string" || state !== own) return response.redirect("/?error=state");
  response.clearCookie(STATE, COOKIE); // good for one login; a stranger's link, or another tab's, does not end it
  const body = JSON.stringify({ code, appid: door(request).appid });
  const answer = await ask("/login", request, { "Content-Type": "application/json" }, body);
  const told = await answer.json();
  if (!answer.ok) return response.redirect(`/?error=${encodeURIComponent(told.code)}`);
  await tokens.verify(told.access_token);
  response.cookie(TOKEN, told.access_token, { ...COOKIE, maxAge: told.expires_in * 1000 });
  response.redirect("/"); // the address bar no longer has the code
}

/** Who is logged in. A token that was ended, by a ban or a logout anywhere, is refused within 10 s. */
async function currentUser(request, response, next) {
  if (tokens.unavailable) return response.set("Retry-After", "2").sendStatus(503);
  try {
    const { sub, client_id } = await tokens.verify(cookie(request, TOKEN));
    if (![ACCOUNT_APPID, SITE_APPID].includes(client_id)) throw new Error("a token of another app");
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
  const answer = token && (await ask("/logout", request, { Authorization: `Bearer ${token}` }));
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
app.disable("x-powered-by");
app.set("trust proxy", PROXIES.split(","));
app.use(ownPages);
app.use((request, response, next) => {
  response.set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'");
  response.set({ "Cache-Control": "no-store", "Referrer-Policy": "no-referrer" });
  next();
});
app.get("/login", goToWeChat);
app.get("/callback", comeBack);
app.get("/me", currentUser, (request, response) => response.json(request.user));
app.post("/logout", logOut);
app.use(express.static(fileURLToPath(new URL("public", import.meta.url))));
app.use((error, request, response, next) => {
  console.warn(`${request.method} ${request.path}: ${error.message}`); // wxmint does not answer, or not with JSON
  if (request.method === "POST") response.sendStatus(503);
  else response.redirect("/?error=unavailable");
});

await tokens.follow();
const server = app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));

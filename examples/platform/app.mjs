// A vendor's site on which merchants authorise its third-party platform (第三方平台). WeChat's pushes go to wxmint, which keeps the
// platform's tokens and lends them to this site.
import { randomBytes } from "node:crypto";
import express from "express";

const { COMPONENT_APPID, SECRET, SITE, ADMIN_URL = "http://127.0.0.1:9090", PORT = "3000" } = process.env;
const { WECHAT_API = "https://api.weixin.qq.com", WECHAT_PAGE = "https://mp.weixin.qq.com" } = process.env; // or the simulator's
for (const name of ["COMPONENT_APPID", "SECRET", "SITE"]) if (!process.env[name]) throw new Error(`set ${name}`);

const STATE_LIFE = 1_800_000; // ms, as long as WeChat's pre_auth_code lives
const PATIENCE = 10_000; // ms; WeChat's push comes within a second or two
const SECURE = SITE.startsWith("https:");
const STATE = SECURE ? "__Host-state" : "state"; // the cookie of a browser that has gone to WeChat
const COOKIE = { httpOnly: true, secure: SECURE, sameSite: "lax", path: "/" };
const cookie = (request, name) => new RegExp(`(?:^|; )${name}=([\\w-]+)`).exec(request.get("Cookie"))?.[1];

// Which customer of yours has which app. In your program: the customer who is logged in, and your database.
const merchants = new Map();
const customer = () => "customer-1";

/** Asks wxmint's admin listener, with a secret that has the right `wechat`. */
async function askWxmint(path, body) {
  const options = body && { method: "POST", body: JSON.stringify(body) };
  const headers = { Authorization: `Bearer ${SECRET}`, "Content-Type": "application/json" };
  const answer = await fetch(`${ADMIN_URL}/wechat/${COMPONENT_APPID}/${path}`, { ...options, headers, signal: AbortSignal.timeout(8_000) });
  return { status: answer.status, told: await answer.json() };
}

/** The platform's own token. One that WeChat has refused is reported, and wxmint lends another. */
async function componentToken(invalid) {
  const { status, told } = await askWxmint("access-token", invalid && { invalid });
  if (status !== 200) throw new Error(`wxmint lends no token: ${told.code}`);
  return told.access_token;
}

/** Calls WeChat by the platform's token, and once more by another one if WeChat refuses it. */
async function askWeChat(path, body) {
  let token = await componentToken();
  for (const isLast of [false, true]) {
    const url = `${WECHAT_API}${path}?component_access_token=${encodeURIComponent(token)}`;
    const answer = await fetch(url, { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(8_000) });
    const told = await answer.json();
    if (!told.errcode) return told;
    if (isLast || ![40001, 40014, 42001].includes(told.errcode)) throw new Error(`WeChat answers ${told.errcode}`);
    token = await componentToken(token);
  }
}

/** 1. The merchant goes to WeChat's page, with a pre_auth_code that is good for one visit. */
async function authorize(request, response) {
  const { pre_auth_code } = await askWeChat("/cgi-bin/component/api_create_preauthcode", { component_appid: COMPONENT_APPID });
  const state = randomBytes(24).toString("base64url");
  const back = `${SITE}/authorized?${new URLSearchParams({ state })}`;
  const query = new URLSearchParams({ component_appid: COMPONENT_APPID, pre_auth_code, redirect_uri: back, auth_type: "3" });
  response.cookie(STATE, state, { ...COOKIE, maxAge: STATE_LIFE });
  response.redirect(`${WECHAT_PAGE}/cgi-bin/componentloginpage?${query}`);
}

/** 2. WeChat has sent the merchant back. wxmint has been told by the push, and says which app the auth_code is of. */
async function authorized(request, response) {
  const { auth_code, state } = request.query;
  const own = cookie(request, STATE);
  if (!own || state !== own || typeof auth_code !== "string") return response.redirect("/?error=state");
  response.clearCookie(STATE, COOKIE); // good for one authorisation; a stranger's link, or another tab's, does not end it
  for (const until = Date.now() + PATIENCE; Date.now() < until; await new Promise((resume) => setTimeout(resume, 500))) {
    const { status, told } = await askWxmint("merchant", { auth_code });
    if (status === 200) {
      const holder = [...merchants].find(([, appid]) => appid === told.appid)?.[0] ?? customer(request);
      if (holder !== customer(request)) return response.redirect("/?error=taken");
      merchants.set(customer(request), told.appid);
      return response.redirect("/");
    }
    if (told.code !== "unknown_app") throw new Error(`wxmint answers ${told.code}`);
  }
  response.redirect("/?error=unknown"); // no push has come: see docs/platforms.md
}

const NOTES = new Map([
  ["state", "请从本页重新开始授权。"],
  ["unknown", "还没有收到微信的授权通知，请稍后再试。"],
  ["taken", "该小程序已由其他客户授权。"],
]);

function home(request, response) {
  const appid = merchants.get(customer(request));
  const told = NOTES.get(request.query.error) ?? "";
  response.send(`<!doctype html><html lang="zh-CN"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>授权小程序</title><h1>授权小程序</h1><p>${appid ? `已授权：${appid}` : "还没有授权。"}</p><p>${told}</p>
<p><a href="/authorize">${appid ? "重新授权" : "授权给我们"}</a></p>`);
}

const app = express();
app.disable("x-powered-by");
app.use((request, response, next) => {
  // WeChat's page wants to see by the Referer that the link stands on the domain of the console's 授权发起页域名.
  response.set({ "Cache-Control": "no-store", "Referrer-Policy": "origin", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'" });
  next();
});
app.get("/", home);
app.get("/authorize", authorize);
app.get("/authorized", authorized);
app.use((error, request, response, next) => {
  console.warn(`${request.path}: ${error.message}`);
  response.redirect("/?error=unknown");
});
const server = app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));

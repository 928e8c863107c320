// A back end as many have one: it logs people in at WeChat, keeps users by openid, and signs tokens with a secret.
// Three settings move it to wxmint, one after the other: docs/move.md.
import express from "express";
import { SignJWT } from "jose";
import { userOf } from "./tokens.mjs";
import * as users from "./users.mjs";

const { WECHAT_URL = "https://api.weixin.qq.com", APPID, APP_SECRET, PORT = "3000" } = process.env;
const { OLD_SECRET, ISSUER, WXMINT_URL = ISSUER, LOGIN_AT_WXMINT } = process.env;

// As before.
async function logInHere(request, response) {
  const asked = { appid: APPID, secret: APP_SECRET, js_code: request.body.code, grant_type: "authorization_code" };
  const answer = await fetch(`${WECHAT_URL}/sns/jscode2session?${new URLSearchParams(asked)}`);
  const { openid, unionid, errmsg } = await answer.json();
  if (!openid) return response.status(400).json({ error: errmsg });
  const user = users.ofOpenid(openid) ?? users.add({ openid, unionid });
  const token = new SignJWT({ uid: user.id }).setProtectedHeader({ alg: "HS256" }).setExpirationTime("7d");
  response.json({ token: await token.sign(new TextEncoder().encode(OLD_SECRET)), userId: String(user.id) });
}

// wxmint counts logins by the phone's address. Here stand, as after any proxy, whoever the proxies before this service have
// seen, and the last of them. wxmint reads the list from the right, up to the first that is not in WXMINT_TRUSTED_PROXIES.
function forwardedFor(request) {
  return [request.get("X-Forwarded-For"), request.socket.remoteAddress].filter(Boolean).join(", ");
}

// The switch. Pages that are published need no change, because the answer has the same members.
async function logInAtWxmint(request, response) {
  const answer = await fetch(`${WXMINT_URL}/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Forwarded-For": forwardedFor(request) },
    body: JSON.stringify({ code: request.body.code, appid: APPID }),
  });
  const said = await answer.json();
  if (!answer.ok) return response.status(answer.status).json({ error: said.detail, code: said.code });
  response.json({ token: said.access_token, userId: said.user_id });
}

async function currentUser(request, response, next) {
  try {
    const [, token] = /^Bearer ([\w.-]+)$/.exec(request.get("Authorization") ?? "") ?? [];
    request.user = users.known(await userOf(token));
  } catch (error) {
    return response.status(error.status ?? 401).json({ error: error.message });
  }
  next();
}

const app = express();
app.use(express.json());
app.post("/login", LOGIN_AT_WXMINT === "true" ? logInAtWxmint : logInHere);
app.get("/orders", currentUser, (request, response) => response.json({ userId: String(request.user.id), orders: [] }));
const server = app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));

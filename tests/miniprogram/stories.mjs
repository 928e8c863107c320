// What people do with the pages. Each story returns what was seen, for tests/it/mini_program.rs to judge.

import { createCipheriv } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const PASSWORD_PAGE = ours("old/password-page.js");
const [USER_LOGIN_APP, USER_LOGIN_PAGE] = [ours("old/user-login-app.js"), ours("old/user-login-page.js")];
const [LOGIN, ORDERS_PAGE] = [ours("recommended/utils/login.js"), ours("recommended/pages/orders/orders.js")];
const [SALE, MESSAGE] = [ours("recommended/utils/sale.js"), ours("recommended/utils/message.js")];
const STEPS_PAGE = ours("recommended/pages/steps/steps.js");

function ours(path) {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** The page with account and password, once a day, and once with a wrong password. */
export async function passwordPage(phone, peer, passwords) {
  return { visits: await typedDaily(phone, peer, passwords), network: phone.network };
}

/** The same page with the line that the refusal names. */
export async function passwordPageMended(phone, peer, passwords) {
  const refused = await typed(phone, peer, passwords.password);
  const { detail } = phone.network.at(-1).answer.data;
  const [, line] = /Add `([^`]+)`/.exec(detail);
  const source = readFileSync(PASSWORD_PAGE, "utf8").replace("/login',\n", `$&          ${line},\n`);
  return { refused, detail, visits: await typedDaily(phone, peer, passwords, source), network: phone.network };
}

async function typedDaily(phone, peer, { password, wrong_password }, source) {
  const visits = [await typed(phone, peer, wrong_password, source)];
  for (let day = 0; day < 3; day += 1) {
    visits.push(await typed(phone, peer, password, source));
    phone.later(DAY);
  }
  return visits;
}

async function typed(phone, peer, password, source) {
  return seen(phone, peer, async () => {
    const program = await phone.start();
    const page = await program.open(PASSWORD_PAGE, source);
    await program.tap(page, "inputUsername", { value: "alice" });
    await program.tap(page, "inputPassword", { value: password });
    await program.tap(page, "tapLogin");
    return page;
  });
}

/** The page that loads five things at once, over three starts of the app. */
export async function userLoginPage(phone, peer) {
  const visits = [];
  for (let start = 0; start < 3; start += 1) {
    visits.push(await opened(phone, peer, USER_LOGIN_PAGE, USER_LOGIN_APP));
    phone.later(DAY);
  }
  return { visits, network: phone.network };
}

async function opened(phone, peer, file, appFile) {
  return seen(phone, peer, async () => (await phone.start(appFile)).open(file));
}

/** The page as it should be, from somebody whom nobody knows to a login a day. */
export async function ordersPage(phone, peer, { password, wrong_password }) {
  const program = await phone.start();
  let page;
  const submit = (typed) => program.tap(page, "submit", { value: { username: "alice", password: typed } });
  const visits = [];
  const visit = async (act) => visits.push(await seen(phone, peer, act));
  await visit(async () => (page = await program.open(ORDERS_PAGE)));
  await visit(async () => (await submit(wrong_password), page));
  await visit(async () => (await submit(password), page));
  for (const later of [0, 21 * HOUR, HOUR, 21 * HOUR, HOUR]) {
    phone.later(later);
    visits.push(await opened(phone, peer, ORDERS_PAGE));
  }
  return { visits, network: phone.network };
}

/** The same page and somebody whom the business knows by phone: asked once, not asked after a restart. */
export async function ordersPageByPhone(phone, peer) {
  const program = await phone.start();
  const page = await program.open(ORDERS_PAGE);
  const press = async (detail) => (await program.tap(page, "submitPhone", detail), page);
  const visits = [await seen(phone, peer, () => press({ errMsg: "getPhoneNumber:fail user deny" }))];
  visits.push(await seen(phone, peer, async () => press(await phone.phoneNumber())));
  phone.later(DAY);
  visits.push(await opened(phone, peer, ORDERS_PAGE));
  return { visits, network: phone.network };
}

/** The same page, opened once. */
export async function ordersPageOnce(phone, peer) {
  return { visits: [await opened(phone, peer, ORDERS_PAGE)] };
}

/** Steps that WeChat seals: from somebody without a token, with one, and when the server cannot open them once, and never. */
export async function stepsPage(phone, peer) {
  const program = await phone.start();
  const page = await program.open(STEPS_PAGE);
  const visits = [];
  for (const old of [0, 0, 1, 2]) {
    phone.sealsOld(old);
    visits.push(await seen(phone, peer, async () => (await program.tap(page, "show"), page)));
  }
  return { visits, network: phone.network };
}

/** Five requests at once: without a token, with one, with one that is refused, and where every one is. */
export async function sharedLogin(phone, peer) {
  const program = await phone.start();
  const { request } = program.require(LOGIN);
  const five = () => Promise.all(Array.from({ length: 5 }, () => request({ url: "https://api.example.com/orders" })));
  const visits = [];
  for (const before of [() => {}, () => {}, () => peer.refuseLast(), () => peer.refuseAll()]) {
    before();
    visits.push(await seen(phone, peer, async () => ({ data: (await five()).map((answer) => answer.statusCode) })));
  }
  return { visits };
}

/** A phone on which something else keeps its own under `token`: what requests throw, and what is in storage then. */
export async function failures(phone) {
  phone.write("token", { text: "of another page", until: phone.now() + DAY });
  const { request } = (await phone.start()).require(LOGIN);
  const thrown = async (url) => {
    try {
      return (await request({ url })).statusCode;
    } catch (error) {
      const { code, message, request_id } = error;
      return { isError: Object.prototype.toString.call(error) === "[object Error]", code, message, request_id };
    }
  };
  const visits = [];
  for (const url of ["https://api.example.com/orders", "https://api.example.com/orders", "https://elsewhere.example.com/"]) {
    visits.push(await thrown(url));
  }
  return { visits, stored: { token: phone.read("token"), ours: phone.read("wxmint.token") } };
}

/** Sales; before the second one, WeChat has got another session_key, of which wxmint knows nothing. */
export async function sale(phone, peer, { secret }) {
  const { buy } = (await phone.start()).require(SALE);
  await buy("coffee-sticker");
  await logInElsewhere(phone, secret);
  await buy("coffee-sticker");
  const refused = await buy("nothing").catch(({ code }) => code);
  return { payments: phone.payments, logins: await exchanged(phone), refused };
}

/** Messages; before the last one, WeChat has another session_key and another key for messages. */
export async function message(phone, peer, { secret }) {
  const { send } = (await phone.start()).require(MESSAGE);
  const encrypt = (text, key, iv) => {
    const cipher = createCipheriv("aes-128-cbc", Buffer.from(key, "base64"), iv);
    return Buffer.concat([cipher.update(text, "utf8"), cipher.final()]).toString("base64");
  };
  const texts = [];
  for (const text of ["在吗？", "", "x".repeat(5000)]) texts.push((await send(text, encrypt)).text === text);
  await logInElsewhere(phone, secret);
  await phone.userKey(true);
  texts.push((await send("还在吗", encrypt)).text === "还在吗");
  const broken = await send("x", () => "AAAA").catch(({ code }) => code);
  return { texts, broken, logins: await exchanged(phone) };
}

/** As another back end with the same AppSecret does. */
async function logInElsewhere(phone, secret) {
  const query = new URLSearchParams({ appid: phone.appid, secret, js_code: (await phone.logIn()).code });
  const answer = await fetch(`${phone.simulator}/sns/jscode2session?${query}&grant_type=authorization_code`);
  if (!(await answer.json()).session_key) throw new Error("WeChat refuses the login elsewhere");
}

/** What the page shows after an act, how often the act asked WeChat, and what the peer answered meanwhile. */
async function seen(phone, peer, act) {
  const [exchanges, answered] = [await exchanged(phone), peer.answers.length];
  const data = structuredClone((await act()).data);
  return { data, logins: (await exchanged(phone)) - exchanges, peer: peer.answers.slice(answered) };
}

export async function exchanged({ simulator }) {
  const { requests } = await (await fetch(`${simulator}/_simulator/stats`)).json();
  return requests["/sns/jscode2session"] ?? 0;
}

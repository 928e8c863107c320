// The phones of scan.mjs: one that speaks to wxmint as the mini program does, and the sample itself in a Chromium of its own. And
// their cameras, for which somebody on standard input reads each picture of a code.

import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Peer } from "../miniprogram/peer.mjs";
import { turnOnSample } from "../miniprogram/screen.mjs";
import { browser, expect, launch, seen, shots } from "./means.mjs";

export const HAND_SIZE = { width: 390, height: 844 };
const SAMPLE = fileURLToPath(new URL("../../examples/mini-program", import.meta.url));

export const world = JSON.parse(process.argv[5]);
export const browsers = [browser];
const texts = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function send(url, { method = "POST", token, body } = {}) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

async function wechatCode() {
  const { codes } = await send(`${world.simulator}/_simulator/codes`, { body: { person: "lin", appid: world.appid } });
  return codes[0];
}

export async function logInOnPhone() {
  const { access_token, user_id } = await send(`${world.service}/login`, { body: { code: await wechatCode() } });
  const at = (userCode, act = "") => `${world.service}/device/${userCode}${act}`;
  return {
    userId: user_id,
    look: (userCode) => send(at(userCode), { method: "GET", token: access_token }),
    approve: async (userCode, match) => send(at(userCode, "/approve"), { token: access_token, body: { code: await wechatCode(), match } }),
  };
}

/** The same with the sample's pages, on a phone beside the computer. */
export async function takePhone() {
  const peer = new Peer({ issuer: world.service, jwks: `${world.service}/.well-known/jwks.json` });
  await peer.start();
  browsers.push(await launch());
  const tab = await browsers.at(-1).newPage({ viewport: HAND_SIZE });
  const domains = { "https://login.example.com": world.service, "https://api.example.com": peer.origin };
  const { screen } = await turnOnSample(tab, SAMPLE, { ...world, person: "lin", domains });
  await screen.start();
  const says = async (title) => expect(await screen.find(".message-title").textContent(), title, "what the phone says");
  return {
    tab,
    says,
    userId: await screen.find(".value").textContent(),
    told: (what) => screen.find(`.${what}`).allTextContents(),
    press: (button) => screen.tap(`button >> text=${button}`),
    look: (userCode) => screen.start(`/pages/scan/index?scene=${userCode}`),
    choose: (number) => screen.tap(`.choice >> text=${number}`),
    async approve(_, number) { // of the code that it has looked at
      await this.choose(number);
      await this.press("允许登录");
      await says("已允许登录");
    },
  };
}

export function block(userId, method) {
  return send(`${world.admin}/users/${userId}/block`, { method, token: world.secret });
}

export function text(page, selector) {
  return page.locator(selector).textContent();
}

/** The user code, read from the picture that the page shows. WeChat opens the mini program's page with it. */
export async function shown(page) {
  await seen(page, "#picture:not([hidden])");
  const taken = await page.locator("#picture").screenshot({ animations: "disabled" });
  console.log(`camera: ${JSON.stringify(await page.evaluate(grey, taken.toString("base64")))}`);
  const opened = new URL((await texts.next()).value);
  expect(opened.searchParams.get("page"), "pages/scan/index", "the mini program's page");
  return opened.searchParams.get("scene");
}

/** In the browser: a PNG's width and pixels. */
async function grey(png) {
  const picture = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (letter) => letter.charCodeAt())]));
  const { width, height } = picture;
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  pen.drawImage(picture, 0, 0);
  return [width, [...pen.getImageData(0, 0, width, height).data.filter((_, index) => index % 4 === 1)]];
}

/** The page and, if it is given, the phone: in both themes, the page in both languages. */
export async function take(name, page, phone) {
  const languages = shots ? ["en", "zh"] : [];
  if ((await page.evaluate(() => document.documentElement.lang)) === "en") languages.reverse();
  for (const language of languages) {
    await page.evaluate(translate, language);
    await takeThemes(page, `${name}-page-${language}`);
  }
  if (shots && phone) await takeThemes(phone.tab, `${name}-phone`);
}

async function takeThemes(page, name) {
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(shots, `scan-${name}-${colorScheme}.png`) });
  }
}

/** In the page, because a page that is loaded again in another language does not show all of its states again. */
async function translate(language) {
  const { words } = await import("/words.mjs");
  const from = Object.entries(words[language === "zh" ? "en" : "zh"]);
  for (const element of document.querySelectorAll("body *:not(:has(*))")) {
    const [key] = from.find(([, text]) => text === element.textContent) ?? [];
    if (key) element.textContent = words[language][key];
  }
}

// Starts Swagger UI, and says in other words what it can say only in its own.

import { themeSwitch } from "./theme.js";
import { words } from "./words.js";

const root = document.documentElement;
const [viewer, theme, home, back, language] = ["viewer", "theme", "home", "back", "language"].map((id) => document.getElementById(id));
const inChinese = root.lang === "zh-CN";
const { place } = root.dataset;
const inDemo = place === "demo";
const openapi = inChinese ? "../openapi.zh-CN.json" : "../openapi.json";
themeSwitch();

/** By place: where the header leads, and what that is called. */
const BACK = { demo: ["../", "Demo", "演示"], admin: ["../console", "Console", "控制台"] };
if (BACK[place]) {
  const [href, ...names] = BACK[place];
  home.href = back.href = href;
  back.textContent = names[Number(inChinese)];
  back.hidden = false;
}
if (inChinese) {
  document.title = "wxmint 接口文档";
  Object.assign(language, { href: "?lang=en", lang: "en", hreflang: "en", textContent: "English" });
  theme.title = "深色";
}

const said = words(inChinese, place === "admin");

/** Replaces Swagger UI's own words below a node; the words of the API are Chinese already. */
function translate(node) {
  const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  for (let text = node.nodeType === Node.TEXT_NODE ? node : texts.nextNode(); text; text = texts.nextNode()) {
    const better = said[text.data.trim()];
    if (better && !text.parentElement?.closest("pre, textarea")) text.data = better;
  }
}

const watcher = new MutationObserver((changes) => {
  for (const { target, addedNodes } of changes) [target, ...addedNodes].forEach(translate);
});
watcher.observe(viewer, { childList: true, characterData: true, subtree: true });

/** The requests of this page go to where the page came from, which need not be the issuer's address. A login fills in its token. */
function read(response) {
  if (place !== "admin" && response.status === 200 && new URL(response.url).pathname.endsWith("/login")) {
    ui.preauthorizeApiKey("bearer", JSON.parse(response.text).access_token);
  }
  if (response.url !== new URL(openapi, location).href) return response;
  const servers = [{ url: new URL("..", location).href.replace(/\/$/, "") }];
  response.text = JSON.stringify({ ...JSON.parse(response.text), servers });
  return response;
}

/** A code of a body or a query. */
const CODE = /\b(code|phone_code)("\s*:\s*"|=)([\w-]+)/g;
/** Codes that do not work: those of the examples, and those that were sent. */
const spent = new Set(["0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h", "bf7a7e8e3a1d4c0d9f6b2e5c8a7d4f10"]);
/** A person of the demo, and one of its mini programs; the demo has two. */
const LIN = { person: "lin", appid: "wxc0ffee0000000001" };

async function minted(kind) {
  const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(LIN) };
  return (await fetch(`../_simulator/${kind}`, asked)).json();
}

/** Replaces codes that do not work by fresh ones of the demo, and names their mini program. */
async function withFreshCodes(request) {
  if (!inDemo || request.loadSpec) return request;
  const [login, phone] = await Promise.all([minted("codes"), minted("phone-codes")]);
  const fresh = { code: request.url.endsWith("/wechat/phone") ? phone.code : login.codes[0], phone_code: phone.code };
  const renewed = (_, field, between, code) => {
    const unused = spent.has(code) ? fresh[field] : code;
    spent.add(unused);
    return field + between + unused;
  };
  for (const part of ["url", "body"]) {
    if (typeof request[part] === "string") request[part] = request[part].replace(CODE, renewed);
  }
  if (request.url.endsWith("/login") && /"code"/.test(request.body)) {
    request.body = JSON.stringify({ ...JSON.parse(request.body), appid: LIN.appid });
  }
  return request;
}

const ui = SwaggerUIBundle({
  domNode: viewer,
  url: openapi,
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  syntaxHighlight: { activated: false },
  requestInterceptor: withFreshCodes,
  responseInterceptor: read,
});

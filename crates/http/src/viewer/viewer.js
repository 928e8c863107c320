// Starts Swagger UI, which shows the API in English; docs/api.zh-CN.md has it in Chinese.

import { themeSwitch } from "./theme.js";

const [viewer, home, back] = ["viewer", "home", "back"].map((id) => document.getElementById(id));
const { place } = document.documentElement.dataset;
const inDemo = place === "demo";
const openapi = "../openapi.json";
themeSwitch();

/** By place: where the header leads, and what that is called. */
const BACK = { demo: ["../", "Demo"], admin: ["../console", "Console"] };
if (BACK[place]) {
  const [href, name] = BACK[place];
  home.href = back.href = href;
  back.textContent = name;
  back.hidden = false;
}

/** Names what Swagger UI calls "Value:" in its dialog. */
const label = place === "admin" ? "Secret:" : "Token:";
const watcher = new MutationObserver(() => {
  for (const { firstChild: text } of viewer.querySelectorAll(".modal-ux label")) if (text?.data === "Value:") text.data = label;
});
watcher.observe(viewer, { childList: true, subtree: true });

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

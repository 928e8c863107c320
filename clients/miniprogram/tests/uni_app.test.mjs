// examples/uni-app: its conditions are expanded for each platform, as uni-app's compiler does, and the script of its page
// runs against stand-ins of `uni` and `wx`. tests/it/mini_program/client.rs copies the example into the package's copy.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { inWeCom, likeWx } from "./globals.mjs";
import { Fail, Phone, problem } from "./phone.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const EXAMPLE = [here("../uni-app"), here("../../../examples/uni-app")].find((folder) => existsSync(folder));

const APPS = {
  "MP-WEIXIN": "wx0123456789abcdef",
  "MP-ALIPAY": "2021000000000001",
  "MP-TOUTIAO": "tt0123456789abcdef",
  "MP-QQ": "1100000001",
  "MP-KUAISHOU": "ks600000000000000001",
  "MP-XHS": "0123456789abcdef01234567",
};

const compiled = mkdtempSync(here("compiled-uni-"));
after(() => rmSync(compiled, { recursive: true }));

/** Keeps the lines that a target has: `#ifdef A || B` and `#ifndef A || B`, to `#endif`. */
function expanded(source, target) {
  const kept = [];
  let wanted = true;
  for (const line of source.split("\n")) {
    const [, condition, targets = ""] = /^\s*(?:\/\/|<!--) #(ifdef|ifndef|endif)([^>]*?)(?:-->)?$/.exec(line) ?? [];
    if (!condition && wanted) kept.push(line);
    if (condition === "endif") wanted = true;
    else if (condition) wanted = targets.split("||").some((it) => it.trim() === target) === (condition === "ifdef");
  }
  return kept.join("\n");
}

let builds = 0;

/** The page as Vue makes it: its data, and its methods on the same object. `globals`: `uni`, `wx`. */
async function page(target, globals) {
  const folder = join(compiled, String(builds++));
  mkdirSync(join(folder, "pages/login"), { recursive: true });
  const read = (name) => expanded(readFileSync(join(EXAMPLE, name), "utf8"), target);
  const [template, script] = read("pages/login/login.vue").split("<script>");
  writeFileSync(join(folder, "client.mjs"), read("client.js"));
  const module = script.replace("</script>", "").replace("../../client.js", "../../client.mjs");
  writeFileSync(join(folder, "pages/login/login.mjs"), module);
  Object.assign(globalThis, { wx: undefined, ...globals });
  const { default: component } = await import(pathToFileURL(join(folder, "pages/login/login.mjs")));
  return { template, vue: { ...component.data(), ...component.methods } };
}

const weixin = (phone) => ({ uni: likeWx(phone), wx: { ...phone.platform, getSystemInfoSync: () => ({}) } });
const globalsOf = (target, phone) => (target === "MP-WEIXIN" ? weixin(phone) : { uni: likeWx(phone) });

for (const [target, appid] of Object.entries(APPS)) {
  test(`${target}: the page logs in with the AppID of its platform, and out`, async () => {
    const phone = new Phone();
    const { vue } = await page(target, globalsOf(target, phone));
    assert.deepEqual([vue.status, vue.text], ["none", ""]);
    await vue.logIn();
    assert.deepEqual([vue.status, vue.text, vue.busy], ["logged_in", "user-of-lin", false]);
    assert.deepEqual(phone.logins(), [{ code: "code-0001", appid }]);
    await vue.logOut();
    assert.deepEqual([vue.status, vue.text], ["logged_out", ""]);
  });

  test(`${target}: the page says what went wrong, and asks for a phone number in WeChat only`, async () => {
    const phone = new Phone();
    const { vue, template } = await page(target, globalsOf(target, phone));
    phone.script = ({ path }) => (path === "/login" ? new Fail() : undefined);
    await vue.logIn();
    assert.equal(vue.text, "网络不可用，请检查网络后重试");
    phone.script = () => undefined;
    phone.answers("/login", problem(403, "user_blocked"), problem(503, "redis_unavailable"));
    await vue.logIn();
    assert.deepEqual([vue.status, vue.text], ["user_blocked", "账号已被封禁"]);
    await vue.logIn();
    assert.equal(vue.text, "服务暂时不可用，请稍后重试");
    const asks = target === "MP-WEIXIN";
    assert.deepEqual([template.includes("getPhoneNumber"), typeof vue.bind === "function"], [asks, asks]);
  });
}

test("MP-WEIXIN: after binding_required the button binds by the phone number", async () => {
  const phone = new Phone();
  const { vue } = await page("MP-WEIXIN", weixin(phone));
  phone.answers("/login", problem(403, "binding_required", { bind_ticket: "ticket-0001" }));
  await vue.logIn();
  assert.equal(vue.status, "binding_required");
  await vue.bind({ detail: { errMsg: "getPhoneNumber:fail user deny" } });
  assert.equal(phone.logins().length, 1);
  await vue.bind({ detail: { code: "phone-0001" } });
  assert.deepEqual(phone.logins()[1], {
    bind_ticket: "ticket-0001",
    appid: "wx0123456789abcdef",
    phone_code: "phone-0001",
  });
  assert.equal(vue.status, "logged_in");
});

test("MP-WEIXIN in WeCom: the page logs in by wx.qy.login", async () => {
  const phone = new Phone();
  const wx = { ...inWeCom(phone), getSystemInfoSync: () => ({ environment: "wxwork" }) };
  const { vue } = await page("MP-WEIXIN", { uni: {}, wx });
  await vue.logIn();
  assert.deepEqual(phone.logins(), [{ code: "code-0001", appid: "wx0123456789abcdef", platform: "wecom" }]);
});

test("MP-ALIPAY and MP-TOUTIAO: the page knows a login that the user has cancelled", async () => {
  for (const [target, cause] of [
    ["MP-ALIPAY", { error: 11, errMsg: "getAuthCode:fail" }],
    ["MP-TOUTIAO", { errNo: 113001, errMsg: "login:fail" }],
  ]) {
    const phone = new Phone();
    const { vue } = await page(target, { uni: likeWx(phone, { login: () => new Fail(cause) }) });
    await vue.logIn();
    assert.equal(vue.text, "您取消了登录");
  }
});

// The sub-paths of the package, each against a strict stand-in for its platform's global object (globals.mjs).

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

import { alipayOf, inWeCom, likeWx } from "./globals.mjs";
import { Fail, ORDERS, Phone, answer, problem, rejected, settled } from "./phone.mjs";

const require = createRequire(import.meta.url);
const { alipay } = require("wxmint-miniprogram/alipay");
const { douyin } = require("wxmint-miniprogram/douyin");
const { kuaishou } = require("wxmint-miniprogram/kuaishou");
const { qq } = require("wxmint-miniprogram/qq");
const { wecom } = require("wxmint-miniprogram/wecom");
const { xiaohongshu } = require("wxmint-miniprogram/xiaohongshu");

const FILES = "https://api.example.com/files";
const ANONYMOUS = { anonymousCode: "anonymous-0001", isLogin: false, errMsg: "login:ok" };

/** What makes the platform of a phone, for each sub-path, and Alipay's for older and newer versions of `my`. */
const PLATFORMS = {
  alipay: (phone) => alipay(alipayOf(phone)),
  "alipay, newer": (phone) => alipay(alipayOf(phone, { newer: true })),
  douyin: (phone) => douyin(likeWx(phone)),
  kuaishou: (phone) => kuaishou(likeWx(phone)),
  qq: (phone) => qq(likeWx(phone)),
  wecom: (phone) => wecom(inWeCom(phone)),
  xiaohongshu: (phone) => xiaohongshu(likeWx(phone)),
};

for (const [name, platformOf] of Object.entries(PLATFORMS)) {
  const start = (appid) => {
    const phone = new Phone();
    return { phone, client: phone.client({ platform: platformOf(phone), appid }) };
  };

  test(`${name}: one login gives the token of a request, and the token survives a restart`, async () => {
    const { phone, client } = start("2021000000000001");
    const { statusCode, data } = await client.request({ url: ORDERS, header: { "X-Shop": 7 } });
    assert.deepEqual([statusCode, data.got], [200, "Bearer token-0001"]);
    const platform = name === "wecom" ? { platform: "wecom" } : {};
    assert.deepEqual(phone.logins(), [{ code: "code-0001", appid: "2021000000000001", ...platform }]);
    const again = phone.client({ platform: platformOf(phone), appid: "2021000000000001" });
    assert.deepEqual(again.state(), { status: "logged_in", userId: "user-of-lin" });
    assert.equal(await again.token(), "token-0001");
    assert.equal(phone.logins().length, 1);
  });

  test(`${name}: a 401 is answered by a new login, and a 403 is an answer`, async () => {
    const { phone, client } = start();
    await client.login();
    phone.refused.add("Bearer token-0001");
    assert.equal((await client.request({ url: ORDERS })).data.got, "Bearer token-0002");
    phone.answers("/orders", answer(403, { reason: "closed" }, { "X-Why": "late" }));
    const { statusCode, data, header } = await client.request({ url: ORDERS });
    assert.deepEqual([statusCode, data, header], [403, { reason: "closed" }, { "X-Why": "late" }]);
  });

  test(`${name}: wxmint's refusal keeps its code, and a proxy's page is no answer of wxmint`, async () => {
    const { phone, client } = start();
    phone.answers(
      "/login",
      problem(503, "redis_unavailable", { retry_after: 7 }),
      answer(502, "<html>Bad Gateway</html>"),
    );
    const refused = await rejected(client.login());
    assert.deepEqual([refused.code, refused.status, refused.retryAfter], ["redis_unavailable", 503, 7]);
    phone.later(8);
    const proxy = await rejected(client.login());
    assert.deepEqual([proxy.code, proxy.status], ["unavailable", 502]);
  });

  test(`${name}: a logout, whose answer has no body, empties the storage of the token`, async () => {
    const { phone, client } = start();
    await client.login();
    await client.logout();
    assert.equal(client.state().status, "logged_out");
    assert.doesNotMatch([...phone.storage.values()].join(), /token-0001/);
    assert.equal((await rejected(phone.client({ platform: platformOf(phone) }).token())).code, "logged_out");
  });

  test(`${name}: what a stranger has stored, or nothing, is no token`, () => {
    const phone = new Phone();
    const platform = platformOf(phone);
    assert.equal(platform.getStorageSync("nothing"), "");
    platform.setStorageSync("something", { a: 1 });
    assert.deepEqual(platform.getStorageSync("something"), { a: 1 });
    platform.removeStorageSync("something");
    assert.equal(platform.getStorageSync("something"), "");
  });

  test(`${name}: an upload and a download have the token`, async () => {
    const { phone, client } = start();
    phone.answers("/files", answer(200, '{"id":1}'), answer(200));
    const sent = await client.upload({ url: FILES, filePath: "a.png", name: "photo", formData: { a: 1 } });
    assert.deepEqual([sent.statusCode, sent.data], [200, '{"id":1}']);
    const { options } = phone.calls("/files")[0];
    assert.deepEqual(
      [options.filePath, options.name, options.formData, options.header],
      ["a.png", "photo", { a: 1 }, { Authorization: "Bearer token-0001" }],
    );
    const got = await client.download({ url: FILES });
    assert.equal(got.statusCode, 200);
    if (name.startsWith("alipay")) assert.equal(got.tempFilePath, "https://resource/a.image");
    assert.deepEqual(phone.tokensSent("/files"), ["Bearer token-0001", "Bearer token-0001"]);
  });

  test(`${name}: abort reaches the platform's task, and progress comes from it`, async () => {
    const { phone, client } = start();
    await client.login();
    for (const call of ["request", "upload", "download"]) {
      const seen = [];
      const release = phone.hold("/files");
      let task;
      const file = call === "upload" ? { filePath: "a.png", name: "photo" } : {};
      const pending = rejected(client[call]({ url: FILES, ...file, onTask: (it) => (task = it) }));
      await settled();
      const asked = phone.calls("/files").at(-1);
      task.onProgressUpdate?.((progress) => seen.push(progress));
      if (call !== "request") asked.progress[0]({ progress: 50 });
      task.abort();
      assert.equal((await pending).code, "aborted");
      assert.deepEqual([asked.aborted, seen.length], [1, call === "request" ? 0 : 1], call);
      await release();
    }
  });

  test(`${name}: without a network every call is offline`, async () => {
    const { phone, client } = start();
    await client.login();
    phone.script = ({ path }) => (path === "wx.login" ? undefined : new Fail());
    const file = { filePath: "a.png", name: "photo" };
    for (const call of ["request", "upload", "download"]) {
      const error = await rejected(client[call]({ url: FILES, ...(call === "upload" ? file : {}) }));
      assert.deepEqual([error.code, error.status], ["offline", 0], call);
      assert.match(error.message, /fail/);
    }
    assert.equal((await rejected(client.login())).code, "offline");
  });

  test(`${name}: require and import find it by its name, where \`exports\` counts and where it does not`, async () => {
    const [file] = name.split(",");
    assert.match(require.resolve(`wxmint-miniprogram/${file}`), new RegExp(`/miniprogram_dist/${file}\\.js$`));
    const imported = await import(`wxmint-miniprogram/${file}`);
    assert.deepEqual(Object.keys(imported), [file]);
    assert.equal(require(`../${file}.js`)[file], require(`wxmint-miniprogram/${file}`)[file]);
  });
}

/** A login whose platform answers with this. */
async function loginWith(platformOf) {
  const phone = new Phone();
  const error = await rejected(phone.client({ platform: platformOf(phone) }).login());
  assert.deepEqual([error.code, phone.logins()], ["offline", []], "nothing is sent");
  return error;
}

test("an answer without a code fails with a sentence, and sends nothing", async () => {
  for (const code of [undefined, "", null, 7]) {
    const login = () => ({ code, errMsg: "login:ok" });
    for (const [adapter, name] of [
      [qq, "qq"],
      [kuaishou, "ks"],
      [xiaohongshu, "xhs"],
    ]) {
      const { message } = await loginWith((phone) => adapter(likeWx(phone, { login })));
      assert.equal(message, `${name}.login:fail the answer has no code`);
    }
    assert.match((await loginWith((phone) => douyin(likeWx(phone, { login })))).message, /^tt\.login:fail/);
    const ofWeCom = (phone) => ({ ...inWeCom(phone), qy: { login: ({ success }) => success({ code }) } });
    assert.equal(
      (await loginWith((phone) => wecom(ofWeCom(phone)))).message,
      "wx.qy.login:fail the answer has no code",
    );
    assert.equal(
      (await loginWith((phone) => alipay(alipayOf(phone, { login: () => ({ authCode: code }) })))).message,
      "getAuthCode:fail the answer has no authCode",
    );
  }
});

test("a platform's own failure is the cause of the error", async () => {
  const login = () => new Fail({ errMsg: "login:fail auth deny", errNo: 113001 });
  for (const adapter of [qq, kuaishou, xiaohongshu, douyin]) {
    const { message, cause } = await loginWith((phone) => adapter(likeWx(phone, { login })));
    assert.deepEqual([message, cause.errNo], ["login:fail auth deny", 113001]);
  }
});

test("douyin: tt.login may ask the user to log in, unless force is false", async () => {
  for (const [options, force] of [
    [undefined, true],
    [{}, true],
    [{ force: true }, true],
    [{ force: false }, false],
  ]) {
    const phone = new Phone();
    await phone.client({ platform: douyin(likeWx(phone), options) }).login();
    assert.equal(phone.calls("wx.login")[0].options.force, force);
  }
});

test("douyin: an anonymousCode is no login, and is sent to nobody", async () => {
  for (const answered of [ANONYMOUS, { ...ANONYMOUS, code: "" }, { ...ANONYMOUS, code: "code-of-nobody" }]) {
    const error = await loginWith((phone) => douyin(likeWx(phone, { login: () => answered }), { force: false }));
    assert.match(error.message, /not logged in to Douyin/);
    assert.doesNotMatch(JSON.stringify([error.message, error.cause]), /anonymous-0001|code-of-nobody/);
  }
  const phone = new Phone();
  const login = (_, { code }) => ({ code, anonymousCode: "anonymous-0001", isLogin: true });
  await phone.client({ platform: douyin(likeWx(phone, { login })) }).login();
  assert.deepEqual(phone.logins(), [{ code: "code-0001" }]);
});

test("wecom: outside WeCom it throws, and says how to tell", () => {
  const phone = new Phone();
  assert.throws(() => wecom(phone.platform), /`wx\.qy` is missing.*environment === 'wxwork'/);
});

test("wecom: a bind ticket says the platform too", async () => {
  const phone = new Phone();
  const client = phone.client({ platform: wecom(inWeCom(phone)) });
  phone.answers("/login", problem(403, "binding_required", { bind_ticket: "ticket-0001" }));
  await rejected(client.login());
  await client.bind({ username: "lin", password: "jasmine" });
  assert.deepEqual(
    phone.logins().map(({ platform }) => platform),
    ["wecom", "wecom"],
  );
});

test("alipay: errors of getAuthCode say whether the user has cancelled or there is no network", async () => {
  for (const [cause, message] of [
    [{ error: 11, errorMessage: "用户取消" }, "getAuthCode:fail the user has cancelled (error 11)"],
    [{ error: "11" }, "getAuthCode:fail the user has cancelled (error 11)"],
    [{ error: 3 }, "getAuthCode:fail there is no network (error 3)"],
    [{ error: 12 }, "getAuthCode:fail there is no network (error 12)"],
    [{ error: 40006, errorMessage: "isv.insufficient" }, "getAuthCode:fail isv.insufficient (error 40006)"],
    [undefined, "getAuthCode:fail no reason was given"],
  ]) {
    const error = await loginWith((phone) => alipay(alipayOf(phone, { login: () => new Fail(cause) })));
    assert.equal(error.message, message);
    assert.equal(error.cause.error, cause?.error);
  }
});

test("alipay: a failure without the status of an answer is no answer", async () => {
  // Some versions repeat the number of the error in `status`.
  for (const httpError of [
    { status: 19 },
    { status: 619 },
    { status: undefined },
    { error: 12 },
    { error: 13, status: 504 },
  ]) {
    const phone = new Phone();
    const client = phone.client({ platform: alipay(alipayOf(phone, { httpError })) });
    await client.login();
    phone.answers("/orders", answer(504));
    const { code, cause } = await rejected(client.request({ url: ORDERS }));
    assert.deepEqual([code, cause.error], ["offline", httpError.error ?? 19]);
  }
});

test("alipay: a body is read as wx reads it", async () => {
  for (const newer of [false, true]) {
    const phone = new Phone();
    const client = phone.client({ platform: alipay(alipayOf(phone, { newer })) });
    const got = async (body, options) => {
      phone.answers("/orders", answer(200, body));
      return (await client.request({ url: ORDERS, ...options })).data;
    };
    assert.deepEqual(await got({ a: 1 }), { a: 1 });
    assert.deepEqual(await got('{"a":1}', { dataType: "json" }), { a: 1 });
    assert.equal(await got("plain"), "plain");
    assert.equal(await got(""), "");
    assert.equal(await got('{"a":1}', { dataType: "text" }), '{"a":1}');
    assert.ok((await got("x", { responseType: "arraybuffer" })) instanceof ArrayBuffer);
  }
});

test("alipay: a download that is refused looks like one without an answer, because my tells no status", async () => {
  const phone = new Phone();
  const client = phone.client({ platform: alipay(alipayOf(phone)) });
  phone.answers("/files", answer(404));
  const { code, message } = await rejected(client.download({ url: FILES }));
  assert.deepEqual([code, message], ["offline", "downloadFile:fail download failed (error 12)"]);
});

test("alipay: the type of an uploaded file is the caller's, or image", async () => {
  const types = [];
  const phone = new Phone();
  const my = alipayOf(phone);
  const uploadFile = (options) => {
    types.push(options.fileType);
    return my.uploadFile(options);
  };
  const client = phone.client({ platform: alipay({ ...my, uploadFile }) });
  await client.upload({ url: FILES, filePath: "a.mp4", name: "film", fileType: "video" });
  await client.upload({ url: FILES, filePath: "a.png", name: "photo" });
  assert.deepEqual(types, ["video", "image"]);
});

test("alipay: old versions keep storage under APDataStorage", () => {
  const phone = new Phone();
  const my = { ...alipayOf(phone), getStorageSync: () => ({ APDataStorage: "old" }) };
  assert.equal(alipay(my).getStorageSync("key"), "old");
});

test("alipay: if storage returns an error, memory serves, and an older token does not come back", async () => {
  const phone = new Phone();
  const my = alipayOf(phone);
  const client = phone.client({ platform: alipay(my) });
  await client.login();
  const full = { ...my, setStorageSync: () => ({ error: 2, errorMessage: "full" }) };
  const other = phone.client({ platform: alipay(full) });
  await other.login();
  assert.equal(await other.token(), "token-0002");
  assert.equal(phone.storage.size, 0);
});

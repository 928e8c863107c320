// Strict stand-ins for the global objects of the platforms. Each refuses calls and options that its platform does not have,
// so that an adapter cannot pass one on by mistake. A phone (phone.mjs) answers behind them.

import assert from "node:assert/strict";

import { Fail } from "./phone.mjs";

const CALLBACKS = ["success", "fail"];

/** Fails for an argument that is not one object with these options. */
function expectOptions(given, name, allowed) {
  assert.equal(given.length, 1, `${name}: one argument`);
  const [options] = given;
  assert.equal(typeof options, "object", `${name}: an object`);
  for (const key of Object.keys(options)) assert.ok([...allowed, ...CALLBACKS].includes(key), `${name}: ${key}`);
  for (const key of CALLBACKS) assert.equal(typeof options[key], "function", `${name}: ${key}`);
  return options;
}

/** `tt`, `qq`, `ks` or `xhs`: functions as `wx` has them. `login(options)` gives the answer of its login. */
export function likeWx(phone, { login } = {}) {
  const { platform } = phone;
  return {
    ...platform,
    login: (options) =>
      platform.login({
        ...options,
        success: (answer) => {
          const given = login ? login(options, answer) : answer;
          if (given instanceof Fail) options.fail(given.cause);
          else options.success(given);
        },
      }),
  };
}

/** `wx` inside WeCom. Its `wx.login` works too, and gives a code of WeChat. */
export function inWeCom(phone) {
  const { platform } = phone;
  const login = () => assert.fail("wx.login gives a code of WeChat");
  return { ...platform, login, qy: { login: (options) => platform.login(options) } };
}

/**
 * `my`. `newer`: a version that names status and header as `wx` does, too, and calls `success` whatever the status.
 * `login`: what getAuthCode gives. `httpError`: the members of its error 19.
 */
export function alipayOf(phone, { newer = false, login, httpError } = {}) {
  const { platform, storage } = phone;
  return {
    getAuthCode(...given) {
      const options = expectOptions(given, "getAuthCode", ["scopes"]);
      assert.equal(options.scopes, "auth_base");
      const success = ({ code }) => {
        const answer = login ? login(code) : { authCode: code, authSuccessScope: ["auth_base"], authErrorScope: {} };
        if (answer instanceof Fail) options.fail(answer.cause);
        else options.success(answer);
      };
      return platform.login({ ...options, success });
    },

    request(...given) {
      const allowed = ["url", "headers", "method", "data", "timeout", "dataType"];
      const { headers, dataType = "json", ...options } = expectOptions(given, "request", allowed);
      for (const [name, value] of Object.entries(headers)) {
        assert.equal(typeof value, "string", `the header ${name}`);
        assert.equal(name, name.toLowerCase(), "my looks for content-type as it is spelled here");
      }
      const success = ({ statusCode, data: body, header }) => {
        const text = typeof body === "string" ? body : JSON.stringify(body);
        const data = dataType === "json" ? fromJson(text) : dataType === "arraybuffer" ? new ArrayBuffer(1) : text;
        if (data === undefined) return options.fail({ error: 14, errorMessage: "JSON parse data error" });
        const answer = { data, status: statusCode, headers: header };
        if (newer) return options.success({ ...answer, statusCode, header });
        if (statusCode < 300) return options.success(answer);
        return options.fail({ error: 19, errorMessage: "http status error", ...answer, ...httpError });
      };
      const fail = (cause) => options.fail(alipayError(cause));
      return platform.request({ ...options, header: canonical(headers), success, fail });
    },

    uploadFile(...given) {
      const allowed = ["url", "header", "filePath", "name", "fileName", "fileType", "formData", "timeout"];
      const { fileName, fileType, ...options } = expectOptions(given, "uploadFile", allowed);
      assert.ok(newer ? options.name : fileName, "the name of the file's field");
      assert.match(fileType, /^(image|video|audio)$/);
      return platform.uploadFile({ ...options, fail: (cause) => options.fail(alipayError(cause)) });
    },

    downloadFile(...given) {
      const options = expectOptions(given, "downloadFile", ["url", "header", "timeout"]);
      const success = ({ statusCode }) => {
        const apFilePath = "https://resource/a.image";
        if (statusCode >= 300) options.fail({ error: 12, errorMessage: "download failed" });
        else options.success(newer ? { apFilePath, tempFilePath: apFilePath } : { apFilePath });
      };
      return platform.downloadFile({ ...options, success, fail: (cause) => options.fail(alipayError(cause)) });
    },

    getStorageSync: (...given) => {
      const key = onlyKey(given, ["key"]);
      return { data: storage.has(key) ? JSON.parse(storage.get(key)) : null };
    },
    setStorageSync: (...given) => {
      storage.set(onlyKey(given, ["key", "data"]), JSON.stringify(given[0].data));
      return { success: true };
    },
    removeStorageSync: (...given) => {
      storage.delete(onlyKey(given, ["key"]));
      return { success: true };
    },
  };
}

function onlyKey(given, names) {
  assert.equal(given.length, 1, "storage: one argument");
  assert.deepEqual(Object.keys(given[0]).sort(), [...names].sort());
  assert.equal(typeof given[0].key, "string");
  return given[0].key;
}

function fromJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** HTTP does not care about the case of a header's name; the phone's usual answers look for this spelling. */
function canonical({ authorization, ...others }) {
  return authorization ? { ...others, Authorization: authorization } : others;
}

function alipayError({ errMsg }) {
  return /abort/.test(errMsg) ? { error: 9, errorMessage: errMsg } : { error: 12, errorMessage: "network error" };
}

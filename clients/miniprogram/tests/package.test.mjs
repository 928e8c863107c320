// "The package" of the contract: what is published, how large it is, what it needs.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createContext, Script } from "node:vm";
import { gzipSync } from "node:zlib";

import { parse } from "acorn";

import { Phone } from "./phone.mjs";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const read = (name) => readFileSync(join(HERE, name), "utf8");
const COMMON_JS = read("miniprogram_dist/index.js");
const MODULE = read("dist/index.mjs");
const manifest = JSON.parse(read("package.json"));
const ADAPTERS = ["alipay", "douyin", "kuaishou", "qq", "wecom", "xiaohongshu"];

test("it needs nothing at run time, and runs nothing when it is installed", () => {
  for (const name of [
    "dependencies",
    "peerDependencies",
    "optionalDependencies",
    "bundledDependencies",
    "bundleDependencies",
  ]) {
    assert.equal(manifest[name], undefined);
  }
  for (const name of ["preinstall", "install", "postinstall", "prepare", "prepublish"])
    assert.equal(manifest.scripts[name], undefined);
});

test("miniprogram_dist/index.js is named by main and by miniprogram", () => {
  assert.deepEqual(
    [manifest.name, manifest.main, manifest.miniprogram],
    ["wxmint-miniprogram", "miniprogram_dist/index.js", "miniprogram_dist"],
  );
});

test("it has at most 4,500 bytes after gzip -9", () => {
  const command = spawnSync("gzip", ["-9", "-c", join(HERE, "miniprogram_dist/index.js")]);
  const size = Math.max(gzipSync(COMMON_JS, { level: 9 }).length, command.status === 0 ? command.stdout.length : 0);
  assert.ok(size <= 4500, `${size} bytes`);
});

test("both files are ES2017, syntax and library, and name no global but wx", () => {
  parse(COMMON_JS, { ecmaVersion: 2017, sourceType: "script" });
  parse(MODULE, { ecmaVersion: 2017, sourceType: "module" });
  for (const source of [COMMON_JS, MODULE]) {
    const names = source.replace(/\/\/.*/g, "").match(/\b[A-Za-z_$][\w$]*/g);
    for (const name of [
      "eval",
      "Function",
      "require",
      "globalThis",
      "window",
      "self",
      "console",
      "setTimeout",
      "uni",
      "Taro",
      "process",
    ]) {
      assert.ok(!names.includes(name), name);
    }
    for (const later of [
      /\.finally\(/,
      /\.flat\(/,
      /\.fromEntries\(/,
      /\.matchAll\(/,
      /allSettled/,
      /for await/,
      /\.at\(/,
    ])
      assert.doesNotMatch(source, later);
  }
});

test("the adapters are small, are ES2017, and name no global", () => {
  const sizes = { alipay: 1_100 };
  for (const name of ADAPTERS) {
    const [commonJs, module] = [read(`miniprogram_dist/${name}.js`), read(`dist/${name}.mjs`)];
    parse(commonJs, { ecmaVersion: 2017, sourceType: "script" });
    parse(module, { ecmaVersion: 2017, sourceType: "module" });
    const size = gzipSync(commonJs, { level: 9 }).length;
    assert.ok(size <= (sizes[name] ?? 500), `${name}: ${size} bytes`);
    const exported = new Script(`(function (exports) {${commonJs};return exports})`);
    const context = createContext({}, { codeGeneration: { strings: false, wasm: false } });
    assert.deepEqual(Object.keys(exported.runInContext(context)({})), [name]);
  }
});

test("each adapter is a sub-path of the package, in both kinds of module and with typings", () => {
  const paths = [".", ...ADAPTERS.map((name) => `./${name}`), "./package.json"];
  assert.deepEqual(Object.keys(manifest.exports).sort(), paths.sort());
  for (const name of ADAPTERS) {
    assert.deepEqual(manifest.exports[`./${name}`], {
      import: { types: `./dist/${name}.d.mts`, default: `./dist/${name}.mjs` },
      require: { types: `./dist/${name}.d.ts`, default: `./miniprogram_dist/${name}.js` },
    });
  }
});

test("it can be imported where there is nothing but the language, and works there", async () => {
  const module = { exports: {} };
  const context = createContext({}, { codeGeneration: { strings: false, wasm: false } });
  new Script(`(function (module, exports) {${COMMON_JS}})`).runInContext(context)(module, module.exports);
  assert.deepEqual(Object.keys(module.exports).sort(), ["WxmintError", "createClient"]);
  const phone = new Phone();
  const client = module.exports.createClient({ url: "https://login.example.com", platform: phone.platform });
  assert.equal(await client.token(), "token-0001");
});

test("require and import find it by its name, and both export the same", async () => {
  const outside = createRequire(join(HERE, "tests/anywhere.js"));
  assert.equal(outside.resolve("wxmint-miniprogram"), join(HERE, "miniprogram_dist/index.js"));
  const imported = await import("wxmint-miniprogram");
  assert.deepEqual(Object.keys(imported).sort(), ["WxmintError", "createClient"]);
  const phone = new Phone();
  const error = await imported
    .createClient({ url: "https://login.example.com", platform: { ...phone.platform, login: ({ fail }) => fail({}) } })
    .token()
    .catch((it) => it);
  assert.ok(error instanceof imported.WxmintError);
  assert.notEqual(imported.createClient, outside("wxmint-miniprogram").createClient, "the module is one of its own");
});

test("npm pack packs what is published", () => {
  const { stdout } = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: HERE,
    encoding: "utf8",
  });
  const [{ files }] = JSON.parse(stdout);
  const published = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "README.zh-CN.md",
    "package.json",
    ...ADAPTERS.flatMap((name) => [`${name}.d.ts`, `${name}.js`]),
    ...["index", ...ADAPTERS].flatMap((name) => [
      `dist/${name}.d.mts`,
      `dist/${name}.d.ts`,
      `dist/${name}.mjs`,
      `miniprogram_dist/${name}.js`,
    ]),
  ];
  assert.deepEqual(files.map(({ path }) => path).sort(), published.sort());
});

test("the lock file names no machine's registry", () => {
  const { packages } = JSON.parse(read("package-lock.json"));
  for (const { resolved } of Object.values(packages))
    assert.ok(!resolved || resolved.startsWith("https://registry.npmjs.org/"), resolved);
});

const folder = mkdtempSync(join(HERE, "tests/compiled-"));
after(() => rmSync(folder, { recursive: true }));

/** Compiles a file as a page's project would: strictly, with libraries checked. */
function compiled(
  source,
  { module = "esnext", moduleResolution = "bundler", types = [], lib = ["ES2017"], name = "sample.ts" } = {},
) {
  writeFileSync(join(folder, name), source);
  const compilerOptions = {
    target: "ES2017",
    lib,
    types,
    module,
    moduleResolution,
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    noUnusedLocals: true,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [name] }));
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const { stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  return stdout.trim();
}

const SAMPLE = read("tests/sample.ts");

test("a sample compiles strictly with no other typings, neither the DOM's, as a module and as CommonJS", () => {
  assert.equal(compiled(SAMPLE), "");
  for (const name of ["sample.mts", "sample.cts"])
    assert.equal(compiled(SAMPLE, { module: "node16", moduleResolution: "node16", name }), "", name);
  assert.equal(compiled(SAMPLE, { lib: ["ES2022"] }), "", "where Error has a cause of its own");
});

test("with miniprogram-api-typings, platform: wx compiles, and so do its options and answers", () => {
  const more = `
    const ofWx = createClient({ url: 'https://login.example.com', platform: wx })
    const theirs: WechatMiniprogram.RequestOption = { url: 'https://api.example.com' }
    export const answered = ofWx.request<string>(theirs).then(({ data, statusCode, header }) => [data.length, statusCode, header])
    export const sent: Promise<unknown> = ofWx.upload({ url: '', filePath: '', name: 'file' } as WechatMiniprogram.UploadFileOption)
    Page({ onLoad: (query) => void client.scanned(query) })
    wx.getWeRunData().then((sealed) => ofWx.userData<{ stepInfoList: { step: number }[] }>(sealed)).then(({ stepInfoList }) => stepInfoList[0]?.step)
  `;
  assert.equal(compiled(SAMPLE + more, { types: ["miniprogram-api-typings"] }), "");
});

const ADAPTED = `
  import { createClient, type Platform } from 'wxmint-miniprogram'
  import { alipay, type AlipayGlobal } from 'wxmint-miniprogram/alipay'
  import { douyin, type DouyinOptions } from 'wxmint-miniprogram/douyin'
  import { kuaishou } from 'wxmint-miniprogram/kuaishou'
  import { qq } from 'wxmint-miniprogram/qq'
  import { wecom } from 'wxmint-miniprogram/wecom'
  import { xiaohongshu } from 'wxmint-miniprogram/xiaohongshu'
  declare const my: AlipayGlobal
  declare const other: Platform
  const options: DouyinOptions = { force: false }
  const platforms = [alipay(my), douyin(other), douyin(other, options), kuaishou(other), qq(other), wecom(other), xiaohongshu(other)]
  export const clients = platforms.map((platform) => createClient({ url: 'https://login.example.com', platform }))
`;

test("the adapters compile strictly, as modules and as CommonJS, and with miniprogram-api-typings", () => {
  assert.equal(compiled(ADAPTED), "");
  for (const name of ["sample.mts", "sample.cts"])
    assert.equal(compiled(ADAPTED, { module: "node16", moduleResolution: "node16", name }), "", name);
  assert.equal(compiled(`${ADAPTED}\nwecom(wx)`, { types: ["miniprogram-api-typings"] }), "");
});

test("tools that do not read `exports` find the typings of an adapter in the package's folder", () => {
  const source = ADAPTERS.map((name) => `export { ${name} } from '../../${name}'`).join("\n");
  assert.equal(compiled(source), "");
});

test("an adapter does not take the global object of another platform", () => {
  const wrong = [
    "import { alipay } from 'wxmint-miniprogram/alipay'",
    "import { douyin } from 'wxmint-miniprogram/douyin'",
    "import { wecom } from 'wxmint-miniprogram/wecom'",
    "// @ts-expect-error\nalipay(wx)",
    "// @ts-expect-error\ndouyin(wx, { force: 'yes' })",
    "// @ts-expect-error\nwecom()",
  ];
  assert.equal(compiled(wrong.join("\n"), { types: ["miniprogram-api-typings"] }), "");
});

test("what is wrong does not compile", () => {
  const wrong = [
    "createClient({})",
    "createClient({ url: 7 })",
    "client.bind({})",
    "client.bind({ username: 'lin' })",
    "client.login({ user: 'lin' })",
    "client.request({ url: '', auth: 'maybe' })",
    "client.phone()",
    "client.scanned({ scene: 7 })",
    "client.scanned({}).userCode",
    "client.device()",
    "client.approve('BCDFGHJK', { match: 47 })",
    "client.state().status === 'out'",
    "client.token().then((token: number) => token)",
    "client.userData({ encryptedData: '' })",
    "client.request<{ a: string }>({ url: '' }).then(({ data }) => data.b)",
    "wx.login()",
    "createClient({ url: '', onEvent: (event) => event.userId })",
  ];
  const head = "import { createClient } from 'wxmint-miniprogram'\nconst client = createClient({ url: '' })\n";
  assert.equal(compiled(head + wrong.map((line) => `// @ts-expect-error\n${line}\n`).join("")), "");
});

// Builds what is published: miniprogram_dist/index.js (CommonJS, one file, small), dist/index.mjs and the typings, and the
// same for each adapter. Fails if the types are wrong, if the small file is too large, or if a file needs more than ES2017.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { parse } from "acorn";
import { build } from "esbuild";
import { minify } from "terser";

const MOST_BYTES = 4_500; // after gzip -9
const EXPORTED = ["WxmintError", "createClient"];
/** Each is a sub-path of the package, and exports a function of its name. */
const ADAPTERS = ["alipay", "douyin", "kuaishou", "qq", "wecom", "xiaohongshu"];

const place = (...parts) => join(dirname(fileURLToPath(import.meta.url)), ...parts);

for (const folder of ["dist", "miniprogram_dist"]) {
  rmSync(place(folder), { recursive: true, force: true });
  mkdirSync(place(folder));
}
writeTypings();
await writeModules("index", "src/index.ts", EXPORTED);
for (const name of ADAPTERS) {
  await writeModules(name, `src/adapters/${name}.ts`, [name]);
  writeRootFiles(name);
}
console.log(`miniprogram_dist/index.js: ${checkSize(place("miniprogram_dist/index.js"))} bytes after gzip -9`);

/** One file with all types, for each of the two kinds of module. */
function writeTypings() {
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "--project", place("tsconfig.json")], { stdio: "inherit" });
  if (status !== 0) throw new Error("tsc has found mistakes");
  const emitted = (name) => readFileSync(place("dist/typings", name), "utf8");
  const [createClient] = /^export declare function createClient\([^)]*\): Client;$/m.exec(emitted("index.d.ts"));
  const typings = `${emitted("api.d.ts")}/** A client of one wxmint, for one mini program. It can be made before \`App()\`. */\n${createClient}\n`;
  for (const name of ["index.d.ts", "index.d.mts"]) writeFileSync(place("dist", name), typings);
  for (const name of ADAPTERS) {
    const adapter = emitted(`adapters/${name}.d.ts`);
    writeFileSync(place(`dist/${name}.d.ts`), adapter.replace("'../api'", "'./index.js'"));
    writeFileSync(place(`dist/${name}.d.mts`), adapter.replace("'../api'", "'./index.mjs'"));
  }
  rmSync(place("dist/typings"), { recursive: true });
}

/** The ES module and the CommonJS file of one entry. */
async function writeModules(name, entry, exported) {
  const module = await bundled(entry);
  writeFileSync(place(`dist/${name}.mjs`), module);
  writeFileSync(place(`miniprogram_dist/${name}.js`), asCommonJs(await small(module), exported));
  check(`dist/${name}.mjs`, "module");
  check(`miniprogram_dist/${name}.js`, "script");
}

/** Tools that do not read `exports`, such as webpack 4 and older TypeScript, look for an adapter in the package's folder. */
function writeRootFiles(name) {
  writeFileSync(place(`${name}.js`), `module.exports = require("./miniprogram_dist/${name}.js");\n`);
  writeFileSync(place(`${name}.d.ts`), `export * from "./dist/${name}";\n`);
}

/** All that an entry needs, in one file. */
async function bundled(entry) {
  const entryPoints = [place(entry)];
  const options = { bundle: true, format: "esm", target: "es2017", charset: "utf8", write: false, logLevel: "warning" };
  const { outputFiles } = await build({ entryPoints, ...options });
  return outputFiles[0].text;
}

async function small(source) {
  const { code } = await minify(source, { module: true, ecma: 2017, compress: { passes: 3, pure_getters: true } });
  return code;
}

/** The bundler's own CommonJS comes with 300 bytes of helpers. */
function asCommonJs(module, exported) {
  const [exports, names] = /export\{([^}]*)\};\s*$/.exec(module);
  const pairs = names.split(",").map((pair) => pair.split(" as "));
  if (String(pairs.map(([, name]) => name).sort()) !== String(exported)) throw new Error(`exported: ${names}`);
  return `"use strict";${module.slice(0, -exports.length)}${pairs.map(([local, name]) => `exports.${name}=${local};`).join("")}\n`;
}

/** Parses a file as ES2017. */
function check(file, sourceType) {
  parse(readFileSync(place(file), "utf8"), { ecmaVersion: 2017, sourceType });
}

function checkSize(path) {
  // The command adds the file's name to what zlib makes.
  const size = gzipSync(readFileSync(path), { level: 9 }).length + "index.js".length + 1;
  if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes after gzip -9; at most ${MOST_BYTES}`);
  return size;
}

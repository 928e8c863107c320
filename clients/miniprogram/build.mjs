// Builds what is published: miniprogram_dist/index.js (CommonJS, one file, small), dist/index.mjs and the typings. Fails if
// the types are wrong, if the small file is too large, or if it needs more than ES2017.

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

const place = (...parts) => join(dirname(fileURLToPath(import.meta.url)), ...parts);

for (const folder of ["dist", "miniprogram_dist"]) {
  rmSync(place(folder), { recursive: true, force: true });
  mkdirSync(place(folder));
}
writeTypings();
const module = await bundled();
writeFileSync(place("dist/index.mjs"), module);
writeFileSync(place("miniprogram_dist/index.js"), asCommonJs(await small(module)));
check("dist/index.mjs", "module");
console.log(
  `miniprogram_dist/index.js: ${checkSize(check("miniprogram_dist/index.js", "script"))} bytes after gzip -9`,
);

/** One file with all types, for each of the two kinds of module. */
function writeTypings() {
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "--project", place("tsconfig.json")], { stdio: "inherit" });
  if (status !== 0) throw new Error("tsc has found mistakes");
  const emitted = (name) => readFileSync(place("dist/typings", name), "utf8");
  const [createClient] = /^export declare function createClient\([^)]*\): Client;$/m.exec(emitted("index.d.ts"));
  const typings = `${emitted("api.d.ts")}/** A client of one wxmint, for one mini program. It can be made before \`App()\`. */\n${createClient}\n`;
  for (const name of ["index.d.ts", "index.d.mts"]) writeFileSync(place("dist", name), typings);
  rmSync(place("dist/typings"), { recursive: true });
}

/** All of the source in one file. */
async function bundled() {
  const entryPoints = [place("src/index.ts")];
  const options = { bundle: true, format: "esm", target: "es2017", charset: "utf8", write: false, logLevel: "warning" };
  const { outputFiles } = await build({ entryPoints, ...options });
  return outputFiles[0].text;
}

async function small(source) {
  const { code } = await minify(source, { module: true, ecma: 2017, compress: { passes: 3, pure_getters: true } });
  return code;
}

/** The bundler's own CommonJS comes with 300 bytes of helpers. */
function asCommonJs(module) {
  const [exports, names] = /export\{([^}]*)\};\s*$/.exec(module);
  const pairs = names.split(",").map((pair) => pair.split(" as "));
  if (String(pairs.map(([, name]) => name).sort()) !== String(EXPORTED)) throw new Error(`exported: ${names}`);
  return `"use strict";${module.slice(0, -exports.length)}${pairs.map(([local, name]) => `exports.${name}=${local};`).join("")}\n`;
}

/** Parses a file as ES2017, and returns its path. */
function check(file, sourceType) {
  parse(readFileSync(place(file), "utf8"), { ecmaVersion: 2017, sourceType });
  return place(file);
}

function checkSize(path) {
  // The command adds the file's name to what zlib makes.
  const size = gzipSync(readFileSync(path), { level: 9 }).length + "index.js".length + 1;
  if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes after gzip -9; at most ${MOST_BYTES}`);
  return size;
}

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const MOST_BYTES = 2_000; // after gzip -9

const place = (...parts) => join(dirname(fileURLToPath(import.meta.url)), "..", ...parts);
const { dependencies, scripts, files, exports } = JSON.parse(readFileSync(place("package.json"), "utf8"));

test("the library is small, as it is, and needs nothing", () => {
  // The command adds the file's name to what zlib makes.
  const size = gzipSync(readFileSync(place("wxmint-web.mjs")), { level: 9 }).length + "wxmint-web.mjs".length + 1;
  assert.ok(size <= MOST_BYTES, `${size} bytes`);
  assert.doesNotMatch(readFileSync(place("wxmint-web.mjs"), "utf8"), /\bimport\b|\beval\b|Function|console/);
  assert.deepEqual([dependencies, Object.keys(scripts)], [undefined, ["test"]]);
});

test("what is exported is published, and its typings fit how pages use them", () => {
  for (const file of Object.values(exports["."])) assert.ok(files.includes(file.slice(2)), file);
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  const how = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--types", ""];
  const { status, stdout } = spawnSync(process.execPath, [tsc, ...how, place("tests/sample.ts")], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

// Reads OpenAPI documents by js-yaml, and holds them to OpenAPI's own schema: openapi_valid.mjs DOCUMENT...
//
// openapi_check.py reads the same documents by PyYAML, whose rules are laxer.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const packages = createRequire(pathToFileURL("target/tools/node/"));
const imported = (name) => import(pathToFileURL(packages.resolve(name)));
const { load } = await imported("js-yaml");
const { Validator } = await imported("@seriousme/openapi-schema-validator");

for (const file of process.argv.slice(2)) {
  const document = load(readFileSync(file, "utf8"));
  const { valid, errors } = await new Validator().validate(document);
  if (!valid) throw new Error(`${file}: ${JSON.stringify(errors)}`);
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [method, { security }] of Object.entries(item)) {
      if (!security && !document.security) throw new Error(`${file}: no \`security\` for ${method} ${path}`);
    }
  }
  if (!document.servers?.length) throw new Error(`${file}: no \`servers\``);
}

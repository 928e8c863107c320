// Holds custom resources to the schemas of Istio, the Gateway API and the Prometheus operator, offline.
//
//     k8s_kinds.mjs DOCUMENTS.json...
//     k8s_kinds.mjs --self-test DOCUMENTS.json...
//
// Each file is a list of documents. The validators come from npm's @kubernetes-models. They pass what they do not know, as
// the API server drops it; a misspelt field is found all the same, because no validator has looked at it. The self-test
// misspells and mistypes the fields of good documents, one at a time, and expects the refusal.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const MODELS = resolve("target/tools/node/node_modules/@kubernetes-models");
const SCHEMAS = {
  "security.istio.io/v1": ["istio", "SecurityIstioIoV1"],
  "networking.istio.io/v1alpha3": ["istio", "NetworkingIstioIoV1alpha3"],
  "gateway.networking.k8s.io/v1": ["gateway-api", "IoK8sSigsGatewayApiApisV1"],
  "monitoring.coreos.com/v1": [
    "prometheus-operator",
    "ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1",
  ],
};

async function validatorOf({ apiVersion, kind }) {
  const [model, prefix] = SCHEMAS[apiVersion] ?? [];
  if (!model) throw new Error(`${kind}: no schema for ${apiVersion}`);
  const module = await import(pathToFileURL(`${MODELS}/${model}/_schemas/${prefix}${kind}.js`));
  return module.validate;
}

// A view of a document that notes at which names somebody has looked.
function watched(value, looked = new Map()) {
  if (value === null || typeof value !== "object") return { view: value, unknown: () => [] };
  const names = new Set();
  const children = new Map();
  const view = new Proxy(value, {
    get(target, name) {
      names.add(name);
      const inner = target[name];
      if (inner === null || typeof inner !== "object" || typeof name === "symbol") return inner;
      if (!children.has(name)) children.set(name, watched(inner, looked));
      return children.get(name).view;
    },
  });
  const unknown = () => {
    // Nobody looked inside: the schema takes anything here, as an EnvoyFilter's value.
    if (names.size === 0) return [];
    const here = Object.keys(value).filter((name) => !names.has(name));
    const below = [...children].flatMap(([name, child]) => child.unknown().map((path) => `${name}.${path}`));
    return [...here, ...below];
  };
  return { view, unknown };
}

async function faults(document) {
  const validate = await validatorOf(document);
  const { view, unknown } = watched(document);
  if (!validate(view)) return validate.errors.map((error) => `${error.instancePath} ${error.message ?? error.keyword}`);
  return unknown().map((path) => `no such field: ${path}`);
}

// The document with one field of `spec` misspelt, or of another type; for every field.
function* spoiled(document, path = ["spec"]) {
  const at = (root) => path.reduce((value, name) => value[name], root);
  const inside = at(document);
  if (inside === null || typeof inside !== "object") return;
  // What an EnvoyFilter inserts is Envoy's, and is checked by Envoy.
  if (path.at(-1) === "value" && path.at(-2) === "patch") return;
  // The names in a map of labels or annotations are free.
  const free = ["matchLabels", "labels", "annotations"].includes(path.at(-1));
  for (const name of Object.keys(inside)) {
    if (!Array.isArray(inside) && !free) {
      const copy = structuredClone(document);
      at(copy)[`${name}x`] = at(copy)[name];
      delete at(copy)[name];
      yield [[...path, name].join("."), "misspelt", copy];
    }
    const copy = structuredClone(document);
    at(copy)[name] = typeof inside[name] === "object" ? "text" : { an: "object" };
    yield [[...path, name].join("."), "mistyped", copy];
    yield* spoiled(document, [...path, name]);
  }
}

const selfTest = process.argv[2] === "--self-test";
let failed = false;
let refused = 0;
const complain = (text) => {
  failed = true;
  console.error(text);
};
for (const file of process.argv.slice(selfTest ? 3 : 2)) {
  for (const document of JSON.parse(readFileSync(file, "utf8"))) {
    const where = `${file}: ${document.kind}/${document.metadata.name}`;
    for (const fault of await faults(document)) complain(`${where}: ${fault}`);
    if (!selfTest) continue;
    for (const [path, how, copy] of spoiled(document)) {
      if ((await faults(copy)).length === 0) complain(`${where}: not noticed: ${path} ${how}`);
      else refused += 1;
    }
  }
}
if (failed) process.exit(1);
console.log(selfTest ? `kinds: ${refused} faults refused` : "kinds: valid");

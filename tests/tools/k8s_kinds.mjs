// Holds custom resources to the schemas of Istio, the Gateway API and the Prometheus operator, offline.
//
//     k8s_kinds.mjs DOCUMENTS.json...
//
// Each file is a list of documents. The validators come from npm's @kubernetes-models. They pass what they do not know, as
// the API server drops it; a misspelt field is found all the same, because no validator has looked at it.

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

let failed = false;
for (const file of process.argv.slice(2)) {
  for (const document of JSON.parse(readFileSync(file, "utf8"))) {
    for (const fault of await faults(document)) {
      failed = true;
      console.error(`${file}: ${document.kind}/${document.metadata.name}: ${fault}`);
    }
  }
}
if (failed) process.exit(1);
console.log("kinds: valid");

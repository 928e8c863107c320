"""What no linter asks of our manifests, alerts and panels: k8s_rules.py FOLDER, with the rendered files. Writes panels.yaml there."""

import json
import re
import sys
from pathlib import Path

import yaml

FOLDER, CHART, MONITORING = Path(sys.argv[1]), Path("k8s/chart/templates"), Path("k8s/monitoring")
KNOWN = set(re.findall(r"^#? ?(\w+)=", Path(".env.example").read_text(), re.M)) | {"RUST_LOG", "NAMESPACE", "DATABASE_HOST"}
DANGERS = {"WXMINT_DANGEROUS_JWKS_OVER_HTTP", "WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP"}
RIGHTS = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
SECTIONS = {line[4:].lower() for line in Path("docs/runbook.md").read_text().splitlines() if line.startswith("### ")}
VARIABLES = {"$__rate_interval": "5m", "$namespace": ".*", "$peers": ".*", "$app": ".*"}
read = lambda path: [document for document in yaml.load_all(path.read_text(), yaml.CSafeLoader) if document]
template = lambda spec: spec.get("jobTemplate", {}).get("spec", spec).get("template", {})


def check_pod(pod, may_ask_the_api):
    """The rest is Pod Security's, kube-score's and the schemas'."""
    configs = {volume["configMap"]["name"] for volume in pod.get("volumes", []) if "configMap" in volume}
    yield f"settings that are not the revision's, and change under the old pods: {configs}", not configs and not any(
        "envFrom" in container for container in pod["containers"] + pod.get("initContainers", []))
    yield "a service-account token", pod.get("automountServiceAccountToken") is may_ask_the_api and pod["enableServiceLinks"] is False
    for volume in pod.get("volumes", []):
        sources = [source for source in volume.get("projected", {}).get("sources", []) if "secret" in source]
        yield f"a Secret as a whole, or for all to read: {volume}", "secret" not in volume and all(
            (source["secret"].get("items") or volume["name"] == "apps") and volume["projected"]["defaultMode"] == 0o440 for source in sources)
    for container in pod["containers"] + pod.get("initContainers", []):
        yield f"rights of {container['name']}", RIGHTS.items() <= container["securityContext"].items()
        yield "a mount that is never updated", not any("subPath" in mount for mount in container.get("volumeMounts", []))
        for variable in container.get("env", []):
            yield f"a secret in {variable['name']}", "secretKeyRef" not in variable.get("valueFrom", {})
            yield f"a danger: {variable['name']}", "DANGEROUS" not in variable["name"] or variable["name"] in DANGERS
            yield f"no setting: {variable['name']}", variable["name"] in KNOWN or variable["name"].startswith("OTEL_")


def check_object(kind, name, spec, document):
    """(what is wrong, unless this holds)."""
    yield "a kind that the chart must not have", kind not in ("Secret", "ConfigMap", "ClusterRole", "ClusterRoleBinding")
    yield "a token for all its pods", kind != "ServiceAccount" or document.get("automountServiceAccountToken") is False
    if kind == "Service" and not name.endswith("-admin"):
        yield "it leads to more than the public listener", [port["targetPort"] for port in spec["ports"]] == ["http"]
    for rule in (spec.get("ingress", []) + spec.get("egress", []) if kind == "NetworkPolicy" and not name.endswith("-test") else []):
        others, ports = rule.get("from") or rule.get("to"), {port["port"] for port in rule.get("ports", [])}
        yield f"a way that is not named: {rule}", others and ports
        yield f"a way in for everybody: {rule}", all(
            other.get("namespaceSelector") != {} and "/0" not in other.get("ipBlock", {}).get("cidr", "") for other in rule.get("from", []))
        yield f"an init container's port by its name, which not every controller knows: {rule}", "wxmint-admin" not in ports
        yield f"the admin listener is open: {rule}", "from" not in rule or not ports & {9090, "admin"} or all(
            other.get("namespaceSelector", {}).get("matchLabels") for other in others)
    pod = template(spec).get("spec")
    yield from check_pod(pod, kind == "CronJob") if pod else ()


def check_monitoring():
    """Alerts that say what to do; panels that lead to the runbook, and whose expressions promtool can read."""
    tests, dashboard = Path("tests/tools/alerts_test.yaml").read_text(), json.loads((MONITORING / "dashboards/wxmint.json").read_text())
    for path in MONITORING.glob("alerts-*.yaml"):
        for rule in (rule for group in read(path)[0]["spec"]["groups"] for rule in group["rules"]):
            name, labels, said = rule["alert"], rule["labels"], rule["annotations"]
            yield f"{name}: labels", (labels["severity"], labels["response"]) in {("critical", "page"), ("critical", "ticket"), ("warning", "ticket")}
            yield f"{name}: texts", said["runbook_url"].endswith(f"#{name.lower()}") and name.lower() in SECTIONS and said["summary"] and said["description"]
            yield f"{name}: no test in which it fires", f'alertname="{name}"' in tests
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    for panel in panels:
        links = {link["url"].removeprefix("${runbook}#") for link in panel["links"]}
        yield f"panel {panel['id']}", panel["title"] and panel["description"] and links and links <= SECTIONS
    expressions = [target["expr"] for panel in panels for target in panel["targets"]] + [note["expr"] for note in dashboard["annotations"]["list"]]
    plain = [re.sub(r"\$\w+", lambda match: VARIABLES.get(match[0], match[0]), expression) for expression in expressions]
    yield f"no variables of the dashboard: {plain}", not any("$" in expression for expression in plain)
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(plain)]
    (FOLDER / "panels.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))


asked = {(file.name, document["kind"], document["metadata"]["name"]): document for file in FOLDER.glob("*-values.yaml") for document in read(file)}
held = [(f"{' '.join(key)}: {what}", holds) for key, document in asked.items()
        for what, holds in check_object(*key[1:], document.get("spec", {}), document)]
for file, service in ((file, document["spec"]) for (file, kind, _), document in asked.items() if kind == "Service"):
    picked = {kind for (other, kind, _), document in asked.items() if other == file
              and service["selector"].items() <= template(document.get("spec", {})).get("metadata", {}).get("labels", {}).items()}
    held.append((f"{file}: a Service leads to {picked}", picked == {"Deployment"}))
one, other = ({(kind, name) for file, kind, name in asked if file == f"{release}-values.yaml"} for release in ("one", "other"))
held.append((f"two releases share {one & other}", one and other and not one & other))
policies = [document["spec"]["ingress"][0]["from"][0] for (_, kind, name), document in asked.items() if kind == "NetworkPolicy" and name.endswith("-redis")]
held.append((f"Redis is shut for another release: {policies}", policies and all(
    other["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "wxmint"} for other in policies)))
mounted, noted = (set(re.findall(r'"wxmint.secret" \(list . "(\w+)"', (CHART / file).read_text())) for file in ("deployment.yaml", "NOTES.txt"))
held += [(f"NOTES.txt makes {noted} and not {mounted}", noted == mounted), *check_monitoring()]
named = set(re.findall(r"WXMINT_[A-Z_]+", "".join(path.read_text() for path in CHART.parent.glob("values.*"))))
held.append((f"values.* name no settings: {named - KNOWN}", named <= KNOWN))
faults = [what for what, holds in held if not holds]
print(*faults or [f"k8s: {len(held)} rules of our own hold"], sep="\n")
sys.exit(bool(faults))

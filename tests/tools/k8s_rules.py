"""What no linter asks of our manifests, alerts and panels: k8s_rules.py FOLDER, with the rendered files. Writes panels.yaml there.

Each rule has a name. k8s_breaks.py plants a break for each, and refuses a rule that notices none."""

import json
import re
import sys
from pathlib import Path

import yaml

CHART, MONITORING = Path("k8s/chart/templates"), Path("k8s/chart/monitoring")
KNOWN = set(re.findall(r"^#? ?(\w+)=", Path(".env.example").read_text(), re.M)) | {"RUST_LOG", "NAMESPACE", "DATABASE_HOST"}
DANGERS = {"WXMINT_DANGEROUS_JWKS_OVER_HTTP", "WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP"}
RIGHTS = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
PRIVATE = {"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}
SECTIONS = {line[4:].lower() for line in Path("docs/runbook.md").read_text().splitlines() if line.startswith("### ")}
VARIABLES = {"$__rate_interval": "5m", "$namespace": ".*", "$peers": ".*", "$app": ".*"}
# Rendered from values that say something else of rights, names, replacement and budget.
OWN = {"everything-values.yaml", "one-values.yaml", "other-values.yaml", "numbers-values.yaml", "monitor-values.yaml", "openshift-values.yaml", "open-values.yaml"}
read = lambda path: [document for document in yaml.load_all(path.read_text(), yaml.CSafeLoader) if document]
template = lambda spec: spec.get("jobTemplate", {}).get("spec", spec).get("template", {})
containers = lambda pod: pod["containers"] + pod.get("initContainers", [])
ours = lambda pod: [each for each in containers(pod) if "/wxmint" in each["image"] or "/wxmint@" in each["image"]]


def check_settings(pod):
    """A revision has its own, whatever becomes of the next, and whatever container starts again."""
    configs = {volume["configMap"]["name"] for volume in pod.get("volumes", []) if "configMap" in volume}
    yield "settings that are not the revision's", not configs and not any("envFrom" in each for each in containers(pod)), configs
    for container in containers(pod):
        names = [variable["name"] for variable in container.get("env", [])]
        yield "a variable that is there twice", len(names) == len(set(names)), names
        for variable in container.get("env", []):
            name = variable["name"]
            yield "a secret in a variable", "secretKeyRef" not in variable.get("valueFrom", {}), name
            yield "a variable that is no setting", name in KNOWN or name.startswith("OTEL_"), name
            yield "a danger", "DANGEROUS" not in name or name in DANGERS, name


def check_pod(kind, pod, own):
    """The rest is Pod Security's, kube-score's and the schemas'."""
    yield from check_settings(pod)
    yield "a token of the API", pod.get("automountServiceAccountToken") is (kind == "CronJob"), pod.get("automountServiceAccountToken")
    yield "variables for each Service", pod["enableServiceLinks"] is False, ""
    user = pod.get("securityContext", {})
    yield "a pod that may be root", user.get("runAsNonRoot") is True and user["seccompProfile"] == {"type": "RuntimeDefault"}, user
    yield "a pod whose user cannot read its Secrets", own or user.get("fsGroup") == user.get("runAsUser") == 65532, user
    for volume in pod.get("volumes", []):
        sources = [source for source in volume.get("projected", {}).get("sources", []) if "secret" in source]
        yield "a Secret as a whole, or for all to read", "secret" not in volume and all(
            (source["secret"].get("items") or volume["name"] == "apps") and volume["projected"]["defaultMode"] == 0o440 for source in sources), volume
    for container in containers(pod):
        yield "rights of a container", RIGHTS.items() <= container.get("securityContext", {}).items(), container["name"]
        yield "a mount that is never updated", not any("subPath" in mount for mount in container.get("volumeMounts", [])), container["name"]
        yield "memory without a limit", "memory" in container["resources"].get("limits", {}) or "resources" not in container, container["name"]
    for container in ours(pod):
        yield "an exit without a word", container["terminationMessagePolicy"] == "FallbackToLogsOnError", container["name"]


def check_deployment(spec, own):
    """No request is sent to a pod that is not there yet, or no longer."""
    pod, rolls = template(spec)["spec"], spec["strategy"].get("rollingUpdate", {})
    yield "fewer replicas while it rolls", own or (rolls["maxUnavailable"], rolls["maxSurge"]) == (0, 1), rolls
    grace = pod["terminationGracePeriodSeconds"]
    for container in (each for each in pod["containers"] if each["name"] in ("wxmint", "nginx", "service")):
        waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        yield "a pod that stops before proxies know", 0 < waits and waits + 20 <= grace, (container["name"], waits, grace)
    for container in ours(pod):
        if container["args"] in (["serve"], ["sidecar"]):
            probed = [container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
            yield "probes", probed == ["/livez", "/livez", "/readyz"], (container["name"], probed)
            ports = {port["name"] for port in container["ports"]}
            yield "a probe of the public listener", all(container[name]["httpGet"]["port"] in ports - {"http"} for name in ("livenessProbe", "readinessProbe")), ports
    for container in (each for each in pod.get("initContainers", []) if each.get("args") == ["sidecar"]):
        yield "a sidecar that ends before its service", container.get("restartPolicy") == "Always", container["name"]
    for constraint in pod.get("topologySpreadConstraints", []):
        yield "replicas spread around the old ones", constraint["matchLabelKeys"] == ["pod-template-hash"], constraint
    changes = {"helm.sh/chart", "app.kubernetes.io/managed-by"} & set(template(spec)["metadata"]["labels"])
    yield "a label of the chart's version, which restarts pods", not changes, changes


def check_cronjob(spec):
    """It reads the Secret that its Role names, for one account, once at a time."""
    pod = template(spec)["spec"]
    yield "two rotations at once, or one that begins again", spec["concurrencyPolicy"] == "Forbid" and pod["restartPolicy"] == "Never", ""
    names = {variable["name"] for each in pod["containers"] for variable in each.get("env", [])}
    yield "a rotation with settings that are not its own", names <= {"NAMESPACE", "WXMINT_KEY_PREPUBLISH", "WXMINT_TOKEN_TTL"}, names
    labels, said = (template(spec)["metadata"].get(part, {}) for part in ("labels", "annotations"))
    yield "a mesh's proxy, which never ends", labels.get("sidecar.istio.io/inject") == "false" and said.get("linkerd.io/inject") == "disabled", labels


def check_policy(name, spec):
    """Who comes in, and what is reached."""
    wanted = ["Ingress"] if not spec.get("egress") and "Egress" not in spec["policyTypes"] else ["Ingress", "Egress"]
    yield "a policy that leaves a direction open", spec["policyTypes"] == wanted, name
    if not name.endswith("-test"):
        for rule in spec.get("ingress", []) + spec.get("egress", []):
            others, ports = rule.get("from") or rule.get("to"), {port["port"] for port in rule.get("ports", [])}
            yield "a way that is not named", others and ports, rule
            yield "a way in for everybody", all(
                other.get("namespaceSelector") != {} and "/0" not in other.get("ipBlock", {}).get("cidr", "") for other in rule.get("from", [])), rule
            yield "an init container's port by its name, which not every controller knows", "wxmint-admin" not in ports, rule
            yield "the admin listener is open", "from" not in rule or not ports & {9090, "admin"} or all(
                other.get("namespaceSelector", {}).get("matchLabels") for other in others), rule
            for block in (other["ipBlock"] for other in others if other.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"):
                least = {"169.254.0.0/16"} if name.endswith("-sidecar") else PRIVATE
                yield "a way out to what is inside", least <= set(block.get("except", [])), rule


def check_cilium(spec):
    """By docs.cilium.io's reference of version 2: no schema is at hand."""
    for way, entities in (("ingress", "fromEntities"), ("egress", "toEntities")):
        for rule in spec.get(way, []):
            ports = [port for each in rule["toPorts"] for port in each["ports"]]
            yield "a policy of Cilium in another form", set(rule) == {entities, "toPorts"} and set(rule[entities]) <= {"host", "remote-node", "kube-apiserver"} \
                and ports and all(isinstance(port["port"], str) and port["protocol"] in ("TCP", "UDP", "ANY") for port in ports), rule
    yield "a policy of Cilium for other pods", set(spec) <= {"endpointSelector", "ingress", "egress"} and spec["endpointSelector"]["matchLabels"], spec


def check_object(file, kind, name, spec, document):
    """(the rule's name, whether it holds, what it is about)."""
    own = file in OWN
    yield "a kind that the chart must not have", kind not in ("Secret", "ClusterRole", "ClusterRoleBinding") and (
        kind != "ConfigMap" or name.endswith("-dashboard")), kind
    yield "a token for all its pods", kind != "ServiceAccount" or document.get("automountServiceAccountToken") is False, name
    if kind == "Service":
        admin = name.endswith(("-admin", "-metrics"))
        yield "a Service that leads to more than the public listener", [port["targetPort"] for port in spec["ports"]] == ["admin" if admin else "http"], spec
        yield "an admin listener with an address outside", not admin or spec.get("type", "ClusterIP") == "ClusterIP", spec
    if kind == "NetworkPolicy":
        yield from check_policy(name, spec)
    if kind == "CiliumNetworkPolicy":
        yield from check_cilium(spec)
    if kind == "Role":
        rules = [(rule["apiGroups"], rule["resources"], len(rule.get("resourceNames", [])), rule["verbs"]) for rule in document["rules"]]
        yield "rights that the rotation does not need", rules == [([""], ["secrets"], 1, ["get", "update"])], rules
    if kind == "PodDisruptionBudget":
        yield "a budget that keeps a sick pod on its node", spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow", name
        yield "a budget that lets nobody go", own or spec.get("maxUnavailable") == 1, spec
    if kind == "Ingress":
        hosts, encrypted = {rule["host"] for rule in spec["rules"]}, {host for each in spec.get("tls") or [] for host in each["hosts"]}
        yield "a host without TLS", file == "tlsless-values.yaml" or hosts <= encrypted, hosts
    if kind == "Gateway":
        yield "a listener without TLS", all(each["protocol"] == "HTTPS" and each["tls"]["mode"] == "Terminate" for each in spec["listeners"]), spec
    pod = template(spec).get("spec")
    yield from check_pod(kind, pod, own) if pod else ()
    yield from check_deployment(spec, own) if kind == "Deployment" else ()
    yield from check_cronjob(spec) if kind == "CronJob" and not own else ()


def check_file(file, found):
    """What the objects of one release have to do with each other."""
    of = lambda wanted: [(name, document) for kind, name, document in found if kind == wanted]
    labels = lambda document: template(document["spec"]).get("metadata", {}).get("labels", {})
    pods = [(kind, labels(document)) for kind, _, document in found if template(document.get("spec", {}))]
    for name, document in of("Service"):
        picked = {kind for kind, has in pods if document["spec"]["selector"].items() <= has.items()}
        yield "a Service that leads to nobody, or to others", picked == {"Deployment"}, (name, picked)
    for kind, has in pods if file != "open-values.yaml" else []:
        shut = {way for _, policy in of("NetworkPolicy") if policy["spec"]["podSelector"].get("matchLabels", {"": ""}).items() <= has.items()
                for way in policy["spec"]["policyTypes"]}
        yield "pods that no policy shuts", shut == {"Ingress", "Egress"}, (kind, has, shut)
    budgets = [document["spec"]["selector"]["matchLabels"] for _, document in of("PodDisruptionBudget")]
    for name, document in of("Deployment") if file != "open-values.yaml" else []:
        yield "replicas that all go at once", any(budget.items() <= labels(document).items() for budget in budgets), name
    for (_, job), (_, role), (_, bound) in zip(of("CronJob"), of("Role"), of("RoleBinding")):
        pod = template(job["spec"])["spec"]
        rotated = [word.partition("/")[2] for word in pod["containers"][0]["args"] if word.startswith("--secret=")]
        served = [source["secret"]["name"] for _, document in of("Deployment") for volume in template(document["spec"])["spec"]["volumes"]
                  for source in volume.get("projected", {}).get("sources", []) if "keys.json" in str(source)]
        yield "a rotation of keys that are not served", rotated == role["rules"][0].get("resourceNames") == served, (rotated, served)
        accounts = [subject["name"] for subject in bound["subjects"]]
        yield "rights for another account than the rotation's", accounts == [pod["serviceAccountName"]] != ["default"], accounts
        life = lambda document, part: [(variable["name"], variable.get("value")) for each in template(document["spec"])["spec"][part]
                                       for variable in each.get("env", []) if variable["name"] in ("WXMINT_KEY_PREPUBLISH", "WXMINT_TOKEN_TTL")]
        yield "a rotation with another lead or life", life(job, "containers") == life(of("Deployment")[0][1], "containers"), life(job, "containers")
    for _, route in of("HTTPRoute"):
        sections = {listener["name"] for _, gateway in of("Gateway") for listener in gateway["spec"]["listeners"]}
        yield "a route to no listener", not sections or {parent["sectionName"] for parent in route["spec"]["parentRefs"]} == sections, sections
    for kind, section in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
        for name, monitor in of(kind):
            yield "a job that no alert asks for", monitor["spec"]["jobLabel"] == "app.kubernetes.io/name", name
            yield "a monitor of another port", [each["port"] for each in monitor["spec"][section]] == ["admin"], name
    for name, policy in of("NetworkPolicy"):
        if name.endswith("-redis"):
            comes = policy["spec"]["ingress"][0]["from"]
            yield "Redis is open, or shut for another release", [other.get("podSelector") for other in comes] == [
                {"matchLabels": {"app.kubernetes.io/name": "wxmint"}}], comes


def check_monitoring(folder):
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
    (folder / "panels.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))


def judged(files):
    """(file, rule, whether it holds, what it is about) of rendered files."""
    for file in files:
        found = [(document["kind"], document["metadata"]["name"], document) for document in read(file)]
        for kind, name, document in found:
            for rule, holds, about in check_object(file.name, kind, name, document.get("spec", {}), document):
                yield f"{file.name} {kind} {name}", rule, holds, about
        for rule, holds, about in check_file(file.name, found):
            yield file.name, rule, holds, about


def main():
    """All of them."""
    folder = Path(sys.argv[1])
    held = [(f"{where}: {rule}: {about}", holds) for where, rule, holds, about in judged(sorted(folder.glob("*-values.yaml")))]
    one, other = ({(document["kind"], document["metadata"]["name"]) for document in read(folder / f"{release}-values.yaml")} for release in ("one", "other"))
    held.append((f"two releases share {one & other}", one and other and not one & other))
    mounted, noted = (set(re.findall(r'"wxmint.secret" \(list . "(\w+)"', (CHART / file).read_text())) for file in ("deployment.yaml", "NOTES.txt"))
    held += [(f"NOTES.txt makes {noted} and not {mounted}", noted == mounted), *check_monitoring(folder)]
    named = set(re.findall(r"WXMINT_[A-Z_]+", "".join(path.read_text() for path in CHART.parent.glob("values.*"))))
    held.append((f"values.* name no settings: {named - KNOWN}", named <= KNOWN))
    faults = [what for what, holds in held if not holds]
    print(*faults or [f"k8s: {len(held)} rules of our own hold"], sep="\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

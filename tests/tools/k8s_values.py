"""Renders the chart with each of its values at null and at a wrong type, alone and in a parent chart: k8s_values.py FOLDER, for what it makes.

Whatever is left out must be as by default or refused with a sentence; nothing may end in an error of a template."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

CHART, HELM = Path("k8s/chart"), Path(sys.executable).parent / "helm"
FOLDER = Path(sys.argv[1])
NEEDED = {"image": {"repository": "registry.example.com/wxmint"}, "issuer": "https://login.example.com", "appid": "wx0123456789abcdef"}
# These may be refused when they are null: somebody must say them, or another value stands on them.
REQUIRED = {"image", "image.repository", "issuer", "appid", "peer", "peer.enabled", "peer.audience", "gateway", "gateway.enabled", "gateway.className", "gateway.certificateRefs",
            "resources", "resources.requests", "resources.requests.cpu", "redis.caSecret", "extraVolumes"}


SERVICE = {"peer": {"enabled": True, "audience": "https://orders.example.com", "image": "registry.example.com/orders:1.0.0"}}
ROUTE = {"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}], "ports": [{"port": 80}]}
mounted = lambda path: {"extraVolumes": [{"name": "own", "emptyDir": {}}], "extraVolumeMounts": [{"name": "own", "mountPath": path}]}
# What must be refused, and the words. Each sentence of _refusals.tpl must be here.
REFUSED = [
    ({"issuer": "https://bücher.example.com"}, 'issuer: "https://bücher.example.com" is no https URL'),
    ({"issuer": ""}, "issuer: set it to the https URL"),
    ({"issuer": "https://a.example.com,https://b.example.com"}, "issuer: wxmint is one issuer"),
    ({"issuer": "https://login.example.com/"}, "issuer: "),
    ({"issuer": "https://203.0.113.7", "ingress": {"enabled": True}}, "issuer: a host of an Ingress or a Gateway is a name, and 203.0.113.7 is an address"),
    ({"issuer": "https://[2001:db8::7]", "gateway": {"enabled": True, "className": "eg"}}, "issuer: a host of an Ingress"),
    ({"issuer": "https://login.example.com/shop", "ingress": {"enabled": True}}, "ingress.enabled: wxmint serves at /"),
    ({"appid": "wx12"}, 'appid: "wx12" is no AppID'),
    ({"appid": ""}, "appid: set it to the AppID"),
    ({"appid": "", "appsSecret": "apps", "test": {"simulator": "http://simulator:8090"}}, "test.appid: set it to the AppID of one"),
    ({"test": {"simulator": "simulator"}}, "test.simulator: "),
    ({"image": {"repository": ""}}, "image.repository: set it to the image that you have built"),
    ({"image": {"repository": "registry.example.com/wxmint:0.1.0"}}, "image.repository: "),
    ({"image": {"repository": "r/w", "tag": "latest"}}, "image.tag: latest is another image tomorrow"),
    ({"image": {"repository": "r/w", "tag": "a b"}}, 'image.tag: "a b" is no tag'),
    ({"image": {"repository": "r/w", "digest": "sha256:12"}}, "image.digest: "),
    ({"peer": {**SERVICE["peer"], "image": "orders:latest"}}, "peer.image: latest is another image tomorrow"),
    ({"peer": {**SERVICE["peer"], "image": "orders"}}, 'peer.image: "orders" is no image with its tag'),
    ({**SERVICE, "image": {"repository": ""}}, "image.repository: set it to the image of wxmint"),
    ({"peer": {**SERVICE["peer"], "audience": ""}}, "peer.audience: set it to"),
    ({**SERVICE, "settings": {"WXMINT_AUDIENCE": "a"}}, "settings.WXMINT_AUDIENCE: of a peer"),
    ({"peer": {"enabled": True, "audience": "a", "sidecar": False}}, "peer.sidecar: without it"),
    ({"peer": {**SERVICE["peer"], "istio": True}}, "peer.image: a service in a mesh"),
    ({"peer": {**SERVICE["peer"], "sidecar": False}}, "peer.image: nginx before it asks the sidecar"),
    ({"peer": {**SERVICE["peer"], "nginx": {"maxBodySize": "much"}}}, "peer.nginx.maxBodySize: "),
    ({**SERVICE, "networkPolicy": {"defaultDeny": True}}, "networkPolicy.defaultDeny: a release with peer.enabled"),
    ({**SERVICE, "autoscaling": {"enabled": True}}, "autoscaling.enabled: a release with peer.enabled"),
    ({"issuer": "https://a.example.com,https://b.example.com", "peer": {**SERVICE["peer"], "issuerInCluster": {"namespace": "wxmint"}}},
     "peer.issuerInCluster: leave it out"),
    ({"appsSecret": "Apps"}, 'appsSecret: "Apps" is no name of Kubernetes'),
    ({"ingress": {"enabled": True, "tls": [{"secretName": "a_b"}]}}, 'ingress.tls a_b: "a_b" is no name of Kubernetes'),
    ({"secrets": {"vault": {"key": "a/b"}}}, "secrets.vault.key: "),
    ({"fullnameOverride": "2shop"}, "fullnameOverride: "),
    ({"nameOverride": "Shop"}, "nameOverride: "),
    ({"commonLabels": {"a b": "c"}}, 'commonLabels: "a b" is no name of a label'),
    ({"podLabels": {"team": "a b"}}, 'podLabels.team: "a b" is no value of a label'),
    ({"commonLabels": {"app.kubernetes.io/name": "shop"}}, "commonLabels.app.kubernetes.io/name: Services and network policies select"),
    ({"podLabels": {"app.kubernetes.io/instance": "shop"}}, "podLabels.app.kubernetes.io/instance: Services"),
    ({"commonAnnotations": {"wxmint/replicas": "5"}}, "commonAnnotations.wxmint/replicas: this annotation is the chart's"),
    ({"rotation": {"every": "1h30m"}}, 'rotation.every: "1h30m" is no time'),
    ({"rotation": {"every": "30m"}}, "rotation.every: 30m is not longer than WXMINT_KEY_PREPUBLISH, 30m"),
    ({"rotation": {"serviceAccount": {"create": False}}}, "rotation.serviceAccount.name: name the account"),
    ({"accountsInCluster": {"url": "https://accounts.example.com"}}, "accountsInCluster.url: "),
    ({"prometheusRule": {"repository": "git"}}, "prometheusRule.repository: "),
    ({"ingress": {"enabled": True, "hosts": [{"host": "Login.example.com"}]}}, 'hosts: "Login.example.com" is no host'),
    ({"ingress": {"enabled": True, "hosts": [{"host": "a.example.com", "paths": [{"path": "login"}]}]}}, 'ingress.hosts: "login" is no path'),
    ({"httpRoute": {"hostnames": ["a_b.example.com"]}}, 'hosts: "a_b.example.com" is no host'),
    ({"redis": {"cidrs": ["999.0.0.0/8"]}}, 'redis.cidrs: "999.0.0.0/8" is no network'),
    ({"redis": {"cidrs": ["10.0.0.0"]}}, 'redis.cidrs: "10.0.0.0" is no network'),
    ({"networkPolicy": {"loadBalancers": ["2001:db8::1::/64"]}}, "networkPolicy.loadBalancers: "),
    ({"networkPolicy": {"dnsAddresses": ["1:2:3:4:5:6:7:8:9/64"]}}, "networkPolicy.dnsAddresses: "),
    ({"networkPolicy": {"extraIngress": [ROUTE]}}, "networkPolicy.extraIngress: "),
    ({"rotation": {"apiServer": {"cidrs": ["10.0.0.256/32"]}}}, "rotation.apiServer.cidrs: "),
    ({"hostAliases": [{"ip": "redis", "hostnames": ["a"]}]}, "hostAliases: "),
    ({"extraVolumes": [{"name": "secrets", "emptyDir": {}}]}, 'extraVolumes: the chart has a volume "secrets" of its own'),
    ({"extraVolumes": [{"name": "own", "emptyDir": {}}, {"name": "own", "emptyDir": {}}]}, 'extraVolumes: two are called "own"'),
    ({"extraVolumes": [{"name": "Own", "emptyDir": {}}]}, 'extraVolumes: "Own" is no name of a volume'),
    ({"extraVolumeMounts": [{"name": "other", "mountPath": "/other"}]}, 'extraVolumeMounts: no volume is called "other"'),
    (mounted("/var/run/wxmint/"), "extraVolumeMounts: at /var/run/wxmint/ something is mounted already"),
    (mounted("own"), 'extraVolumeMounts: "own" is no mountPath'),
    ({"extraEnv": [{"name": "A=B", "value": ""}]}, 'extraEnv: "A=B" is no name of a variable'),
    ({"extraEnv": [{"name": "RUST_LOG", "value": "a"}, {"name": "RUST_LOG", "value": "b"}]}, "extraEnv: RUST_LOG is there twice"),
    ({"extraEnv": [{"name": "RUST_LOG", "value": "a", "valueFrom": {}}]}, "extraEnv: RUST_LOG has both value and valueFrom"),
    ({"settings": {"WXMINT_REDIS_URL": "redis://a"}}, "settings.WXMINT_REDIS_URL: the chart sets it itself"),
    ({"settings": {"REDIS_URL": "redis://a"}}, 'settings: "REDIS_URL" is no setting'),
    ({"extraContainers": [{"name": "wxmint", "image": "a:1"}]}, 'extraContainers: there is a container "wxmint" already'),
    ({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}] * 2}, "topologySpreadConstraints: two are for zone"),
    ({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]},
     "topologySpreadConstraints: minDomains counts only with"),
    ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "tolerations: one with operator: Exists has no value"),
    ({"tolerations": [{"value": "b"}]}, "tolerations: one without key needs operator: Exists"),
    ({"tolerations": [{"key": "a", "value": "b", "tolerationSeconds": 3}]}, "tolerations: tolerationSeconds counts only with"),
    ({"resources": {"limits": {"memory": "128 MB"}}}, 'resources.limits.memory: "128 MB" is no quantity'),
    ({"resources": {"requests": {"memory": "1Gi"}}}, "resources.requests.memory: 1Gi is more than the limit, 128Mi"),
    ({"redis": {"clientCertificate": True}}, "redis.caSecret: set it to the Secret"),
    ({"gateway": {"enabled": True}}, "gateway.className: set it to the class"),
    ({"gateway": {"enabled": True, "className": "eg", "certificateRefs": []}}, "gateway.certificateRefs: a Gateway that ends TLS"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway that is there"),
    ({"gateway": {"enabled": True, "className": "eg"}, "httpRoute": {"parentRefs": [{"name": "public"}]}}, "httpRoute.parentRefs: gateway.enabled makes"),
    ({"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}, "serviceMonitor.enabled: beside podMonitor.enabled"),
    ({"autoscaling": {"enabled": True, "minReplicas": 13}}, "autoscaling.maxReplicas: 12 is less than autoscaling.minReplicas, 13"),
    ({"autoscaling": {"enabled": True}, "resources": None}, "autoscaling.enabled: the autoscaler counts in parts"),
    ({"podDisruptionBudget": {"minAvailable": 2}}, "podDisruptionBudget.minAvailable: with 2 replicas no node could ever be drained"),
    ({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}, "strategy: type: Recreate has no rollingUpdate"),
    ({"enabeld": True}, "Additional property enabeld is not allowed"),
    ({"stopDelay": 0}, "stopDelay: Must be greater than or equal to 1"),
    ({"service": {"type": "ExternalName"}}, 'service.type: service.type must be one of the following: "ClusterIP"'),
]
# These must not be.
TAKEN = [
    {"issuer": "https://127.0.0.1:8443"}, {"issuer": "https://xn--bcher-kva.example.com/a/b"}, {"issuer": "https://[::1]:8443/a"},
    {"redis": {"cidrs": ["0.0.0.0/0", "255.255.255.255/32", "::/0", "2001:db8::/64", "fe80::1:2/128", "1:2:3:4:5:6:7:8/128", "::1/128"]}},
    {"resources": {"requests": {"cpu": 1, "memory": "1.5Gi"}, "limits": {"cpu": "2", "memory": "2Gi", "example.com/card": 1}}},
    {"resources": {"requests": {"cpu": "0.5"}, "limits": {"cpu": "500m", "memory": "1e9"}}},
    {"tolerations": [{"operator": "Exists"}, {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}]},
    {"image": {"repository": "localhost:5000/a/b-c_d.e", "tag": "_1.A-b"}}, {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}]}},
    {"ingress": {"enabled": True, "hosts": [{"host": "*.example.com"}], "tls": []}}, {"autoscaling": {"enabled": True}, "replicaCount": 0},
    {"commonLabels": {"example.com/a": "", "b": "1_2.3-4"}}, {"image": {"repository": "r/w", "tag": 'x' * 128}}, {"podDisruptionBudget": {"minAvailable": 1}},
    {"serviceAccount": {"create": False}, "rotation": {"serviceAccount": {"create": False, "name": "there"}}}, {"strategy": {"type": "Recreate"}},
]


def paths(schema, before=()):
    """Each value of the schema, by its path."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    for name, part in schema.get("properties", {}).items():
        yield (*before, name)
        yield from paths(part, (*before, name))


def at(values, path):
    """What is there."""
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values


def changed(values, path, new):
    """A copy with another value at a path."""
    copy = json.loads(json.dumps(values))
    place = copy
    for name in path[:-1]:
        if not isinstance(place.get(name), dict):
            place[name] = {}
        place = place[name]
    place[path[-1]] = new
    return copy


def rendered(values, chart=CHART, name="wxmint"):
    """What helm says and renders."""
    whole = values if chart == CHART or "wxmint" in values else {"wxmint": values}
    done = subprocess.run([HELM, "template", name, chart, "--values", "-"], check=False, text=True, capture_output=True, input=json.dumps(whole))
    return done.returncode, done.stdout, done.stderr


def parent():
    """A chart with this one below it."""
    folder = FOLDER / "parent"
    (folder / "charts").mkdir(parents=True)
    (folder / "charts/wxmint").symlink_to(CHART.resolve())
    dependency = {"name": "wxmint", "version": "*", "condition": "wxmint.enabled"}
    (folder / "Chart.yaml").write_text(json.dumps({"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": [dependency]}))
    return folder


def faults():
    """What is wrong."""
    default, everything = (yaml.safe_load((CHART / name).read_text()) for name in ("values.yaml", "ci/everything-values.yaml"))
    service = yaml.safe_load((CHART / "ci/sidecar-in-cluster-values.yaml").read_text())
    all_paths = list(paths(SCHEMA))
    for path in all_paths:
        if path[0] not in ("global", "enabled") and at(default, path) is None and at(default, path[:-1]) != {}:
            yield f"{'.'.join(path)}: values.yaml does not explain it"
        of_issuer = path[0] not in ("peer", "global", "enabled")
        if of_issuer and not isinstance(at(default, path), dict) and at(everything, path) in (None, at(default, path)) and path not in SAME:
            yield f"{'.'.join(path)}: everything-values.yaml does not change it"
    folder = parent()
    blocks = [path for path in all_paths if isinstance(at(default, path), dict)]
    asked = [("everything", everything, CHART, all_paths), ("least", NEEDED, CHART, blocks), ("everything in a parent chart", everything, folder, blocks),
             ("service", service, CHART, [*blocks, *(path for path in all_paths if path[0] == "peer")])]
    with ThreadPoolExecutor(2) as threads:
        tried = [(base, path, threads.submit(rendered, changed(values, path, None), chart))
                 for base, values, chart, some in asked for path in dict.fromkeys(some)]
        for base, path, done in tried:
            code, _, said = done.result()
            if code and (".".join(path) not in REQUIRED or any(words in said for words in BAD)):
                yield f"{base}: {'.'.join(path)}: null ends in: {said.strip()}"
    # All at once, level by level: a list is no text, no number, no map and no boolean, and what may be a list is no number.
    for level in range(1, 4):
        some, values = [path for path in all_paths if len(path) == level], NEEDED
        for path in some:
            values = changed(values, path, 7 if isinstance(at(default, path), list) else [7])
        code, _, said = rendered(values)
        for path in some:
            if not code or not re.search(rf"^- {re.escape('.'.join(path))}(\.0)?: ", said, re.MULTILINE):
                yield f"{'.'.join(path)}: helm does not refuse another type"
    heard = ""
    for values, words in REFUSED:
        code, _, said = rendered({**NEEDED, **values})
        heard += said
        if not code or not re.search(rf"^(- )?{re.escape(words)}", said, re.MULTILINE) and not words.startswith("Additional") or words not in said:
            yield f"{values}: helm does not say {words}: {said.strip()}"
    for values in TAKEN:
        code, _, said = rendered({**NEEDED, **values})
        if code:
            yield f"{values}: helm refuses it: {said.strip()}"
    lines = (CHART / "templates/_refusals.tpl").read_text().splitlines()
    for sentence in (text for line in lines for text in re.findall(r'"((?:[^"\\]|\\.)*)"', line) if text.count(" ") > 3 and text[0] not in "^(|"):
        if max(re.split(r"%[a-z]", sentence), key=len).strip() not in heard:
            yield f"no refusal says: {sentence}"
    # A parent chart switches it on and off, and its global values reach it.
    shown = {"wxmint": {**NEEDED, "enabled": True}, "global": {"imagePullSecrets": [{"name": "of-parent"}], "other": 1}}
    code, text, said = rendered(shown, folder, "shop")
    if code or "name: of-parent" not in text or 'name: "shop-wxmint"' not in text:
        yield f"a parent chart: {said or text[:2000]}"
    code, text, said = rendered({"wxmint": {"enabled": False}}, folder, "shop")
    if code or "kind:" in text:
        yield f"a parent chart that switches it off: {said or text}"


# What a template says that did not expect it.
BAD = ("nil pointer", "error calling index", "wrong type", "Invalid type", "can't evaluate")
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
# One value that everything-values.yaml leaves: two of them exclude it, or there is no other.
SAME = {("networkPolicy", "enabled"), ("rotation", "enabled"), ("serviceMonitor", "enabled"), ("appsSecret",), ("podDisruptionBudget", "enabled"),
        ("serviceAccount", "create"), ("rotation", "serviceAccount", "create"), ("httpRoute", "parentRefs")}
if __name__ == "__main__":
    found = list(faults())
    print(*found or [f"k8s: each value may be null and none of another type; {len(REFUSED)} are refused with a sentence"], sep="\n")
    sys.exit(bool(found))

"""Holds rendered Kubernetes manifests to what we promise of them, beyond what their schema says.

    k8s_policy.py --env-example .env.example RENDERED.yaml...

The rules are those of Pod Security "restricted" plus ours: images pinned, probes, resources, no secret in plain or in the
environment, no setting that wxmint does not know, rights by name alone, a service-account token only where it is needed,
every way in and out named, none in for every namespace, the admin listener closed, no whole pod network believed as
proxies, the revocation feed followed and within reach, and in a mesh no identity header that a client could have
written.
k8s_faults.py shows that each of them can refuse.
"""

import argparse
import ipaddress
import re
import sys
from pathlib import Path

import yaml

SECRET_NAME = re.compile(r"SECRET|PASSWORD|TOKEN_KEY|REDIS_URL|PRIVATE")
SETTING = re.compile(r"^#?\s?(WXMINT_[A-Z_]+)=", re.MULTILINE)
GENERAL_SETTINGS = re.compile(r"^(RUST_LOG|OTEL_[A-Z_]+|NAMESPACE)$")
# Dangers that may be switched on, each with the URL that must then be a Service of the cluster.
OVER_HTTP = {
    "WXMINT_DANGEROUS_JWKS_OVER_HTTP": "WXMINT_JWKS_URL",
    "WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP": "WXMINT_ACCOUNTS",
}
IN_CLUSTER = re.compile(r"http://[a-z0-9-]+\.[a-z0-9-]+\.svc(\.cluster\.local)?[:/]")
# What the sidecar may take, in MiB: connections, remembered tokens, and the most ends of tokens that it holds.
SIDECAR_MEMORY = 256
# What peers fetch of the issuer.
FOR_PEERS = ("/.well-known/jwks.json", "/revocations")
# Who may have a service-account token, and what it may be good for.
ROTATOR = ("CronJob", "wxmint-keys-rotate")
ROTATOR_RIGHTS = [
    {"apiGroups": [""], "resources": [kind], "resourceNames": [name], "verbs": ["get", "update"]}
    for kind, name in (("secrets", "wxmint-keys"), ("configmaps", "wxmint-jwks"))
]
ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}
# The admin listener, by number and by the names that its port has.
ADMIN_PORTS = {9090, "admin", "wxmint-admin"}
# Services that lead to it; the policies say from where.
ADMIN_SERVICES = {"wxmint-metrics", "wxmint-admin"}
IDENTITY_HEADERS = {"X-User-Id": "sub", "X-Client-Id": "client_id", "X-Token-Id": "jti"}
# Networks that are broader may hold other pods than the gateway's. A node's part of a pod network is a /24 as a rule.
BROADEST_TRUST = {4: 22, 6: 64}
# What pods and containers may do: this and nothing else. A pod may name a group for its volumes.
POD_RIGHTS = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_RIGHTS = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
POD_SECURITY = {f"pod-security.kubernetes.io/{mode}" for mode in ("enforce", "audit", "warn")}


def pod_template(document):
    """The pod that a workload makes, as metadata and spec, or None where the document makes none."""
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "Pod":
        return document
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    # A ServiceMonitor has no template; what else has one makes pods.
    return spec.get("template")


def pod_spec(document):
    """What its pods are like, or None where the document makes none."""
    return (pod_template(document) or {}).get("spec")


def labels_of(document):
    """What its pods are labelled with."""
    return pod_template(document).get("metadata", {}).get("labels", {})


def identity(document):
    """Kind and name."""
    return document["kind"], document["metadata"]["name"]


def selects(selector, labels):
    """Whether a selector by labels matches."""
    return selector.get("matchLabels", {}).items() <= labels.items()


def of_kind(documents, *kinds):
    """The documents of these kinds."""
    return [document for document in documents if document["kind"] in kinds]


def workloads(documents):
    """What makes pods."""
    return [document for document in documents if pod_template(document)]


def is_sidecar(container):
    """A native one: an init container that goes on running."""
    return container.get("restartPolicy") == "Always"


def is_ours(container):
    """Runs a server of wxmint, rather than one of its commands or something else."""
    return container.get("args", [])[:1] in (["serve"], ["sidecar"])


def containers_of(pod):
    """All of them."""
    return pod["containers"] + pod.get("initContainers", [])


def check_pod(pod, may_have_token):
    """What is wrong with a pod as a whole."""
    if {name: value for name, value in pod.get("securityContext", {}).items() if name != "fsGroup"} != POD_RIGHTS:
        yield f"the pod's securityContext is not {POD_RIGHTS}"
    if pod.get("enableServiceLinks") is not False:
        yield "enableServiceLinks is not false"
    if pod.get("automountServiceAccountToken") is not may_have_token:
        yield "no service-account token is mounted" if may_have_token else "a service-account token is mounted"
    for namespace in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(namespace):
            yield f"{namespace} is set"
    for volume in pod.get("volumes", []):
        yield from check_volume(volume)


def check_volume(volume):
    """What is wrong with a volume's kind, and with who can read it."""
    for kind in volume.keys() - {"name"} - ALLOWED_VOLUMES:
        yield f"volume {volume['name']} is a {kind}"
    if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
        yield f"volume {volume['name']} may grow without limit"
    secrets = [source["secret"] for source in volume.get("projected", {}).get("sources", []) if "secret" in source]
    if secrets and volume["projected"].get("defaultMode", 0o644) & 0o007:
        yield f"volume {volume['name']} can be read by all"
    for secret in secrets:
        if not secret.get("items"):
            yield f"volume {volume['name']} takes all of {secret['name']}, not named fields"


def check_container(container):
    """What is wrong with one container's rights, image and environment."""
    if container.get("securityContext") not in (CONTAINER_RIGHTS, {**CONTAINER_RIGHTS, **POD_RIGHTS}):
        yield f"the container's securityContext is not {CONTAINER_RIGHTS}"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "a port of the host is taken"
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in container["image"] and tag in ("", "latest"):
        yield f"image {container['image']} is not pinned"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
        yield "requests for cpu and memory, or the limit of memory, are missing"
    for variable in container.get("env", []):
        if "value" in variable and SECRET_NAME.search(variable["name"]) and not variable["name"].endswith("_FILE"):
            yield f"{variable['name']} is written in plain"
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield f"{variable['name']} is a secret in the environment"
    for mount in container.get("volumeMounts", []):
        if "subPath" in mount:
            yield f"{mount['mountPath']} is a subPath, and never updated"


def check_probes(container):
    """What is wrong with the probes of a container that serves."""
    wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for probe, path in wanted.items():
        got = container.get(probe, {}).get("httpGet", {})
        if got.get("path") != path or got.get("port") not in ADMIN_PORTS:
            yield f"{probe} does not ask {path} on the admin port"


def mebibytes(quantity):
    """An amount of memory."""
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


def check_memory(container):
    """A sidecar that is killed for its memory reads all ends again, and answers nothing until then."""
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    if container.get("args", [])[:1] == ["sidecar"] and limit and mebibytes(limit) < SIDECAR_MEMORY:
        yield f"the sidecar's limit of memory is less than {SIDECAR_MEMORY}Mi, which the ends of tokens may need"


def check_drain(pod):
    """A pod must leave the load balancers before it is told to stop, and have time left after."""
    pauses = [c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) for c in pod["containers"]]
    if not all(pauses):
        yield "no preStop sleep"
    # A login in flight may take 15 s: DRAIN_SECONDS in src/issuer/run.rs.
    if pod.get("terminationGracePeriodSeconds", 30) < max(pauses) + 15:
        yield "the grace period leaves less than 15 s after preStop"


def check_deployment(document):
    """What is wrong with pods that serve."""
    pod = pod_spec(document)
    for container in containers_of(pod):
        yield from check_memory(container)
        if is_ours(container):
            yield from check_probes(container)
        if container in pod.get("initContainers", []) and not is_sidecar(container):
            yield f"init container {container['name']} is no native sidecar"
    if not any("readinessProbe" in container for container in pod["containers"]):
        yield "no container has a readinessProbe"
    yield from check_drain(pod)
    spread = [c["topologyKey"] for c in pod.get("topologySpreadConstraints", []) if selects(c["labelSelector"], labels_of(document))]
    if "kubernetes.io/hostname" not in spread:
        yield "its pods are not spread over nodes"


def check_schedule(cronjob):
    """A job that hangs, piles up or never runs is noticed too late."""
    if cronjob.get("suspend"):
        yield "the job is suspended"
    if cronjob.get("concurrencyPolicy") != "Forbid":
        yield "concurrencyPolicy is not Forbid"
    if not cronjob.get("startingDeadlineSeconds"):
        yield "no startingDeadlineSeconds"
    if not cronjob["jobTemplate"]["spec"].get("activeDeadlineSeconds"):
        yield "no activeDeadlineSeconds"


def check_role(role):
    """Rights are by name, and those that the rotator needs."""
    if role["rules"] != ROTATOR_RIGHTS:
        yield f"its rights are not {ROTATOR_RIGHTS}"


def check_namespace(namespace):
    """Pod Security admission looks at labels alone."""
    labels = namespace["metadata"].get("labels", {})
    if any(labels.get(label) != "restricted" for label in POD_SECURITY):
        yield "Pod Security is not restricted"


def check_policy(policy):
    """Ways in and out are named, and the admin listener's more closely than others."""
    for rule in policy.get("egress", []):
        if not rule.get("to") or not rule.get("ports"):
            yield "a way out is not named by whom and port"
    for rule in policy.get("ingress", []):
        ports = {port["port"] for port in rule.get("ports", [])}
        if not rule.get("from") or not ports:
            yield "a way in is not named by whom and port"
        for peer in rule.get("from", []):
            if peer.get("namespaceSelector") == {} or peer.get("ipBlock", {}).get("cidr", "").endswith("/0"):
                yield "a way in is open to every namespace"
            if ports & ADMIN_PORTS and not peer.get("namespaceSelector", {}).get("matchLabels"):
                yield "the admin listener is open to more than named namespaces"


def check_service(document):
    """Only what is meant for it leads to the admin listener, and only within the cluster."""
    spec = document["spec"]
    if not {port.get("targetPort", port["port"]) for port in spec["ports"]} & ADMIN_PORTS:
        return
    if document["metadata"]["name"] not in ADMIN_SERVICES:
        yield "it leads to the admin listener"
    if spec.get("type", "ClusterIP") != "ClusterIP":
        yield "it carries the admin listener out of the cluster"


def check_settings(settings):
    """What is wrong with the settings in a ConfigMap."""
    for name, value in settings.items():
        if SECRET_NAME.search(name) and not name.endswith("_FILE"):
            yield f"{name} is written in plain"
        if name.startswith("WXMINT_DANGEROUS_") and name not in OVER_HTTP:
            yield f"{name} is set"
    if "private" in settings.get("WXMINT_TRUSTED_PROXIES", ""):
        yield "WXMINT_TRUSTED_PROXIES believes all of the pod network"
    for network in re.findall(r"[0-9a-f.:]+/\d+", settings.get("WXMINT_TRUSTED_PROXIES", "")):
        network = ipaddress.ip_network(network, strict=False)
        if network.prefixlen < BROADEST_TRUST[network.version]:
            yield f"WXMINT_TRUSTED_PROXIES believes all of {network}"
    for danger, name in OVER_HTTP.items():
        url = settings.get(name, "")
        if (url.startswith("http:") or danger in settings) and not IN_CLUSTER.match(url):
            yield f"{name} leads by http beyond the cluster"
    url = settings.get("WXMINT_JWKS_URL", "")
    for feed in filter(None, settings.get("WXMINT_REVOCATIONS_URL", "").split(",")):
        if feed.strip() == "off":
            yield "revoked tokens are accepted until they expire: the feed is off"
        elif not url.startswith(origin(feed.strip())):
            yield "the revocation feed is not where the keys are, and the network policy is not for it"
    if settings.get("WXMINT_SIDECAR_LISTEN", "127.0.0.1:").partition(":")[0] != "127.0.0.1":
        yield "the sidecar listens beyond its pod"


def origin(url):
    """Scheme and authority, and the slash behind them."""
    return "/".join([*url.split("/")[:3], ""])


def check_gateway(gateway):
    """The issuer is reached by TLS alone."""
    for listener in gateway["listeners"]:
        if listener["protocol"] != "HTTPS" or listener.get("tls", {}).get("mode") != "Terminate":
            yield f"listener {listener['name']} speaks without TLS"
        if listener.get("allowedRoutes", {}).get("namespaces", {}).get("from") != "Same":
            yield f"listener {listener['name']} takes routes of other namespaces"


def check_route(route):
    """The public listener is all that it may lead to."""
    if not all(parent.get("sectionName") for parent in route["parentRefs"]):
        yield "it joins every listener of its gateway"
    paths = [match["path"] for rule in route["rules"] for match in rule.get("matches", [{"path": {"type": "PathPrefix", "value": "/"}}])]
    for wanted in FOR_PEERS:
        if not any(wanted.startswith(path["value"]) for path in paths):
            yield f"peers do not reach {wanted}"
    for backend in (backend for rule in route["rules"] for backend in rule["backendRefs"]):
        if (backend["name"], backend.get("port")) != ("wxmint", 80):
            yield f"it leads to {backend['name']}, port {backend.get('port')}"


def check_ingress(ingress):
    """The same for an Ingress: TLS for each host, and the public listener alone."""
    secured = {host for tls in ingress.get("tls", []) for host in tls.get("hosts", [])}
    for rule in ingress["rules"]:
        if rule.get("host") not in secured:
            yield f"host {rule.get('host')} speaks without TLS"
        for wanted in FOR_PEERS:
            if not any(wanted.startswith(path["path"]) for path in rule["http"]["paths"]):
                yield f"peers do not reach {wanted}"
    backends = [path["backend"] for rule in ingress["rules"] for path in rule["http"]["paths"]]
    for backend in [*backends, *filter(None, [ingress.get("defaultBackend")])]:
        service = backend.get("service", {})
        if (service.get("name"), service.get("port")) != ("wxmint", {"name": "http"}):
            yield f"it leads to {service.get('name')}, port {service.get('port')}"


def check_request_authentication(spec):
    """Which tokens a mesh believes, and what it says of them."""
    for rule in spec["jwtRules"]:
        if not rule["issuer"].startswith("https://") or not rule.get("jwksUri", "").startswith("https://"):
            yield "issuer and jwksUri are not https"
        if not rule.get("audiences"):
            yield "tokens for others are believed"
        if [place["name"] for place in rule.get("fromHeaders", [])] != ["Authorization"] or rule.get("fromParams"):
            yield "tokens are taken from elsewhere than Authorization"
        if {out["header"]: out["claim"] for out in rule.get("outputClaimToHeaders", [])} != IDENTITY_HEADERS:
            yield f"identity headers are not {IDENTITY_HEADERS}"


def check_authorization(spec, documents):
    """Every rule wants a token, but for paths that are named."""
    principals = {rule["issuer"] + "/*" for d in of_kind(documents, "RequestAuthentication") for rule in d["spec"]["jwtRules"]}
    if spec.get("action", "ALLOW") != "ALLOW" or not spec.get("rules"):
        yield "it is no list of what is allowed"
    for rule in spec.get("rules", []):
        sources = [origin["source"].get("requestPrincipals", []) for origin in rule.get("from", [])]
        paths = [operation["operation"].get("paths", []) for operation in rule.get("to", [])]
        believed = sources and all(names and set(names) <= principals for names in sources)
        if not believed and not (paths and all(paths)):
            yield "it lets in who has no token of the issuer"


def check_envoy_filter(spec):
    """The identity headers go before anything else looks at them."""
    patches = [p["patch"] for p in spec["configPatches"] if p["applyTo"] == "HTTP_FILTER" and p["match"]["context"] == "SIDECAR_INBOUND"]
    if [patch["operation"] for patch in patches] != ["INSERT_FIRST"]:
        yield "the client's headers are not taken away first"
    for asks in (patch["value"]["typed_config"] for patch in patches if "http_service" in patch["value"]["typed_config"]):
        if asks.get("failure_mode_allow") is not False:
            yield "revoked tokens get through while the sidecar is away"
        if spec.get("priority", 0) >= 0:
            yield "the sidecar's identity headers may be taken away with the client's"


def check_autoscaler(spec):
    """Never fewer replicas than survive the loss of one."""
    if spec.get("minReplicas", 1) < 2:
        yield "it may leave one replica"
    if [metric.get("resource", {}).get("name") for metric in spec.get("metrics", [])] != ["cpu"]:
        yield "it does not look at the CPU"


CHECKS_OF_SPEC = {
    "CronJob": check_schedule,
    "NetworkPolicy": check_policy,
    "Gateway": check_gateway,
    "HTTPRoute": check_route,
    "Ingress": check_ingress,
    "RequestAuthentication": check_request_authentication,
    "EnvoyFilter": check_envoy_filter,
    "HorizontalPodAutoscaler": check_autoscaler,
}
CHECKS_OF_DOCUMENT = {"Role": check_role, "Service": check_service, "Namespace": check_namespace, "Deployment": check_deployment}


def check_document(document):
    """What is wrong with one document, as sentences."""
    kind = document["kind"]
    if kind == "Secret":
        yield "a Secret is in the manifests"
    if kind in ("ClusterRole", "ClusterRoleBinding"):
        yield "rights in the whole cluster"
    if kind == "ServiceAccount" and document.get("automountServiceAccountToken") is not False:
        yield "its token is mounted wherever nobody forbids it"
    if kind == "ConfigMap":
        yield from check_settings(document.get("data", {}))
    if kind in CHECKS_OF_SPEC:
        yield from CHECKS_OF_SPEC[kind](document["spec"])
    if kind in CHECKS_OF_DOCUMENT:
        yield from CHECKS_OF_DOCUMENT[kind](document)
    pod = pod_spec(document)
    if pod is not None:
        yield from check_pod(pod, may_have_token=identity(document) == ROTATOR)
        for container in containers_of(pod):
            yield from check_container(container)


def check_company(documents):
    """What a workload must not come without."""
    for deployment in of_kind(documents, "Deployment"):
        where, labels = "/".join(identity(deployment)), labels_of(deployment)
        if not any(selects(d["spec"]["selector"], labels) for d in of_kind(documents, "PodDisruptionBudget")):
            yield f"no PodDisruptionBudget holds {where}"
        scaled = [d["spec"]["scaleTargetRef"]["name"] for d in of_kind(documents, "HorizontalPodAutoscaler")]
        if deployment["metadata"]["name"] in scaled and "replicas" in deployment["spec"]:
            yield f"{where} has replicas beside an autoscaler"
    for workload in workloads(documents):
        where, labels = "/".join(identity(workload)), labels_of(workload)
        policies = [document["spec"] for document in of_kind(documents, "NetworkPolicy")]
        closed = [p for p in policies if {"Ingress", "Egress"} <= set(p.get("policyTypes", [])) and selects(p["podSelector"], labels)]
        if not closed:
            yield f"no NetworkPolicy denies both ways to {where}"
        for service in of_kind(documents, "Service"):
            if workload["kind"] != "Deployment" and selects({"matchLabels": service["spec"]["selector"]}, labels):
                yield f"{where} gets what is sent to the Service {service['metadata']['name']}"
    yield from check_binding(documents)
    yield from check_mesh(documents)
    yield from check_lookup(documents)


def check_binding(documents):
    """Rights are for the rotator alone, and its account is nobody else's."""
    accounts = {}
    for workload in workloads(documents):
        accounts.setdefault(pod_spec(workload).get("serviceAccountName", "default"), []).append(identity(workload))
    present = {document["metadata"]["name"] for document in of_kind(documents, "ServiceAccount")}
    for binding in of_kind(documents, "RoleBinding"):
        for subject in binding["subjects"]:
            name = subject["name"]
            if subject["kind"] != "ServiceAccount" or name not in present or accounts.get(name) != [ROTATOR]:
                yield f"RoleBinding/{binding['metadata']['name']} gives rights to others than the rotator"


def check_lookup(documents):
    """A Service for those who ask about users wants a secret from them."""
    if any(document["metadata"]["name"] == "wxmint-admin" for document in of_kind(documents, "Service")):
        if "WXMINT_ADMIN_TOKENS_FILE" not in variables(documents):
            yield "Service/wxmint-admin leads to a listener that knows no secrets"
    for policy in of_kind(documents, "NetworkPolicy"):
        if policy["metadata"]["name"] == "wxmint-admin-lookup":
            peers = [peer for rule in policy["spec"]["ingress"] for peer in rule["from"]]
            if not all(peer.get("podSelector", {}).get("matchLabels") for peer in peers):
                yield "the admin listener is open to every pod of a namespace"


def check_mesh(documents):
    """A RequestAuthentication alone lets in who sends no token, and leaves the client's own headers."""
    for document in of_kind(documents, "AuthorizationPolicy"):
        where = "/".join(identity(document))
        yield from (f"{where}: {fault}" for fault in check_authorization(document["spec"], documents))
    for authentication in of_kind(documents, "RequestAuthentication"):
        selector = authentication["spec"].get("selector")
        if selector not in [d["spec"].get("selector") for d in of_kind(documents, "AuthorizationPolicy")]:
            yield "no AuthorizationPolicy stands beside a RequestAuthentication"
        filtered = [d["spec"].get("workloadSelector", {}).get("labels") for d in of_kind(documents, "EnvoyFilter")]
        if (selector or {}).get("matchLabels") not in filtered:
            yield "no EnvoyFilter stands beside a RequestAuthentication"
        strict = [d["spec"]["selector"] for d in of_kind(documents, "PeerAuthentication") if d["spec"]["mtls"]["mode"] == "STRICT"]
        if selector not in strict:
            yield "the peer can be reached around the mesh"


def variables(documents):
    """The names of all settings that the manifests give to wxmint."""
    for document in of_kind(documents, "ConfigMap"):
        yield from (name for name in document.get("data", {}) if name.startswith("WXMINT_"))
    for document in workloads(documents):
        for container in containers_of(pod_spec(document)):
            yield from (variable["name"] for variable in container.get("env", []))


def check(documents, settings):
    """All that is wrong with a set of manifests; `settings` are the variables that wxmint knows."""
    for document in documents:
        where = f"{document['kind']}/{document['metadata']['name']}"
        yield from (f"{where}: {fault}" for fault in check_document(document))
    yield from check_company(documents)
    for name in variables(documents):
        if name not in settings and not GENERAL_SETTINGS.match(name):
            yield f"{name} is no setting of wxmint"


def settings_in(env_examples):
    """The variables that these files list."""
    return {name for file in env_examples for name in SETTING.findall(file.read_text())}


def documents_in(path):
    """What a rendered file holds."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def main():
    """Prints what is wrong and exits with 1, or says what was checked."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--env-example", type=Path, action="append", required=True, help="a file that lists settings")
    arguments.add_argument("rendered", nargs="+", type=Path)
    chosen = arguments.parse_args()

    settings, failed = settings_in(chosen.env_example), False
    for path in chosen.rendered:
        faults = list(check(documents_in(path), settings))
        failed = failed or bool(faults)
        print(*(f"{path}: {fault}" for fault in faults) if faults else [f"{path}: policy held"], sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()

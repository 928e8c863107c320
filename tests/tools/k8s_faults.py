"""Shows that each rule of k8s_policy.py can refuse.

    k8s_faults.py FOLDER

Spoils the good manifests in FOLDER (rendered, one file for each overlay) in each way that a rule is there for, one at a
time, and expects the refusal. A rule without a fault of its own is a fault too: the faults must reach each of its lines.
"""

import copy
import sys
from pathlib import Path

import k8s_policy
from k8s_policy import check, documents_in, identity, labels_of, of_kind, pod_spec, variables


class Manifests:
    """Good manifests, and what becomes of them when one document is changed."""

    def __init__(self, documents):
        self.documents = documents

    def spoil(self, expected, where, change):
        """`where` is a kind, or kind and name."""
        copies = copy.deepcopy(self.documents)
        kind, _, name = where.partition("/")
        change(next(d for d in copies if d["kind"] == kind and name in ("", d["metadata"]["name"])))
        return expected, copies

    def spec(self, expected, where, change):
        """In its `spec`."""
        return self.spoil(expected, where, lambda document: change(document["spec"]))

    def pod(self, expected, change, where="Deployment"):
        """In its pods."""
        return self.spoil(expected, where, lambda document: change(pod_spec(document)))

    def container(self, expected, change, where="Deployment"):
        """In its first container."""
        return self.pod(expected, lambda spec: change(spec["containers"][0]), where)

    def without(self, expected, *absent):
        """Without documents of these kinds, or kind/name."""
        kept = [d for d in self.documents if d["kind"] not in absent and "/".join(identity(d)) not in absent]
        return expected, kept

    def beside(self, expected, kind, **fields):
        """With one more."""
        return expected, [*self.documents, {"kind": kind, "metadata": {"name": "x"}, **fields}]


def of_pods(m):
    """Any overlay with a Deployment of wxmint's."""

    yield m.pod("the pod's securityContext", lambda p: p["securityContext"].update(runAsUser=0))
    yield m.pod("the pod's securityContext", lambda p: p.pop("securityContext"))
    yield m.pod("enableServiceLinks", lambda p: p.pop("enableServiceLinks"))
    yield m.pod("a service-account token is mounted", lambda p: p.pop("automountServiceAccountToken"))
    for namespace in ("hostNetwork", "hostPID", "hostIPC"):
        yield m.pod(f"{namespace} is set", lambda p, name=namespace: p.update({name: True}))
    for kind in ("hostPath", "secret"):
        yield m.pod(f"is a {kind}", lambda p, kind=kind: p["volumes"].append({"name": "more", kind: {}}))
    yield m.pod("grow without limit", lambda p: p["volumes"].append({"name": "more", "emptyDir": {}}))
    yield m.pod("no preStop sleep", lambda p: p["containers"][0].pop("lifecycle"))
    yield m.pod("no preStop sleep", lambda p: p["containers"][-1].pop("lifecycle"))
    yield m.pod("grace period", lambda p: p.update(terminationGracePeriodSeconds=10))
    yield m.pod("spread over nodes", lambda p: p.pop("topologySpreadConstraints"))
    selector = {"matchLabels": {"app.kubernetes.io/name": "another"}}
    yield m.pod("spread over nodes", lambda p: [c.update(labelSelector=selector) for c in p["topologySpreadConstraints"]])
    yield m.pod("has a readinessProbe", lambda p: [c.pop("readinessProbe", None) for c in p["containers"]])
    yield m.pod("is no native sidecar", lambda p: p.setdefault("initContainers", []).append({**p["containers"][0], "args": []}))
    yield m.pod("not pinned", lambda p: p.update(initContainers=[{**p["containers"][0], "image": "busybox"}]))
    for more in ({"privileged": True}, {"runAsUser": 0}, {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}):
        yield m.container("the container's securityContext", lambda c, more=more: c["securityContext"].update(more))
    yield m.container("port of the host", lambda c: c["ports"][0].update(hostPort=80))
    for image in ("wxmint", "wxmint:latest", "registry.example.com:5000/wxmint"):
        yield m.container("not pinned", lambda c, image=image: c.update(image=image))
    yield m.container("are missing", lambda c: c["resources"]["requests"].pop("cpu"))
    yield m.container("are missing", lambda c: c["resources"].pop("limits"))
    mount = {"name": "more", "mountPath": "/x", "subPath": "x"}
    yield m.container("is a subPath", lambda c: c["volumeMounts"].append(mount))
    for variable in ({"value": "x"}, {"valueFrom": {"secretKeyRef": {"name": "x", "key": "x"}}}):
        said = "is written in plain" if "value" in variable else "is a secret in the environment"
        env = [{"name": "WXMINT_APP_SECRET", **variable}]
        yield m.container(f"WXMINT_APP_SECRET {said}", lambda c, env=env: c.update(env=env))
    yield m.spoil("its token is mounted", "ServiceAccount", lambda d: d.pop("automountServiceAccountToken"))
    yield m.beside("a Secret is in", "Secret")
    yield m.beside("in the whole cluster", "ClusterRole", rules=[])
    yield m.without("no PodDisruptionBudget holds", "PodDisruptionBudget")
    yield m.spec("no PodDisruptionBudget holds", "PodDisruptionBudget", lambda s: s.update(selector=selector))


def of_network(m, name, admin_rule):
    """The overlay's network policy of that name; which of its ways in leads to the admin listener."""
    where = f"NetworkPolicy/{name}"
    yield m.without("denies both ways to Deployment", "NetworkPolicy")
    yield m.spec("a way out is not named", where, lambda s: s["egress"][0].pop("to"))
    yield m.spec("a way out is not named", where, lambda s: s["egress"][0].pop("ports"))
    yield m.spec("a way out is not named", where, lambda s: s.update(egress=[{}]))
    yield m.spec("a way in is not named", where, lambda s: s["ingress"][0].pop("from"))
    yield m.spec("a way in is not named", where, lambda s: s.update(ingress=[{}]))
    for everybody in ({"namespaceSelector": {}}, {"podSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}):
        change = lambda s, peer=everybody: s["ingress"][admin_rule].update({"from": [peer]})
        yield m.spec("admin listener is open", where, change)
    for everybody in ({"namespaceSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}):
        change = lambda s, peer=everybody: s["ingress"][0]["from"].append(peer)
        yield m.spec("open to every namespace", where, change)
    yield m.spec("it leads to the admin", "Service", lambda s: s["ports"][0].update(targetPort=9090))
    # Its target port is the port.
    yield m.spec("it leads to the admin", "Service", lambda s: s.update(ports=[{"port": 9090}]))


def of_issuer(m):
    """Production: the issuer, its rotator and its autoscaler."""
    yield from of_pods(m)
    yield from of_network(m, "wxmint", 2)
    projected = lambda p: p["volumes"][0]["projected"]
    yield m.pod("read by all", lambda p: projected(p).pop("defaultMode"))
    yield m.pod("not named fields", lambda p: projected(p)["sources"][0]["secret"].pop("items"))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        yield m.container(f"{probe} does not ask", lambda c, probe=probe: c.pop(probe))
    yield m.container("livenessProbe does not", lambda c: c["livenessProbe"]["httpGet"].update(path="/readyz"))
    yield m.container("readinessProbe does not", lambda c: c["readinessProbe"]["httpGet"].update(port=8080))

    settings = "ConfigMap/" + next(d["metadata"]["name"] for d in of_kind(m.documents, "ConfigMap") if "WXMINT_KEYS" in d.get("data", {}))
    set_to = lambda **values: lambda d: d["data"].update(values)
    yield m.spoil("REDIS_URL is written", settings, set_to(WXMINT_REDIS_URL="redis://:x@redis"))
    yield m.spoil("WXMINT_LISTNE is no setting", settings, set_to(WXMINT_LISTNE="x"))
    for pods in ("private", "10.42.0.0/16", "192.0.2.0/28, 10.0.0.0/8", "fd00:10:244::/56"):
        yield m.spoil("believes all of", settings, set_to(WXMINT_TRUSTED_PROXIES=pods))
    yield m.spoil("PASSWORD_IN_QUERY is set", settings, set_to(WXMINT_DANGEROUS_PASSWORD_IN_QUERY="true"))
    change = set_to(WXMINT_ACCOUNTS="http://accounts.example.com", WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP="true")
    yield m.spoil("WXMINT_ACCOUNTS leads by http beyond", settings, change)

    deny = [d for d in m.documents if identity(d) != ("NetworkPolicy", "default-deny")]
    both = Manifests(deny)
    yield both.spec("both ways to Deployment", "NetworkPolicy/wxmint", lambda s: s.update(policyTypes=["Ingress"]))
    yield both.without("both ways to CronJob", "NetworkPolicy/wxmint-keys-rotate")

    metrics = {"selector": {"a": "b"}, "ports": [{"port": 9090}], "type": "LoadBalancer"}
    yield "out of the cluster", [*m.documents, {"kind": "Service", "metadata": {"name": "wxmint-metrics"}, "spec": metrics}]
    yield m.spec("replicas beside an autoscaler", "Deployment", lambda s: s.update(replicas=3))
    yield m.spec("leave one replica", "HorizontalPodAutoscaler", lambda s: s.update(minReplicas=1))
    yield m.spec("not look at the CPU", "HorizontalPodAutoscaler", lambda s: s.update(metrics=[]))
    labels = {label: "restricted" for label in k8s_policy.POD_SECURITY}
    for label in labels:
        namespace = {"name": "x", "labels": {**labels, label: "baseline"}}
        yield "Pod Security is not", [*m.documents, {"kind": "Namespace", "metadata": namespace}]
    yield from of_rotation(m)


def of_rotation(m):
    """What comes with the rotator."""

    def job(expected, change):
        return m.spec(expected, "CronJob", change)

    yield job("is suspended", lambda j: j.update(suspend=True))
    yield job("not Forbid", lambda j: j.update(concurrencyPolicy="Allow"))
    yield job("no startingDeadlineSeconds", lambda j: j.pop("startingDeadlineSeconds"))
    yield job("no activeDeadlineSeconds", lambda j: j["jobTemplate"]["spec"].pop("activeDeadlineSeconds"))
    yield m.pod("no service-account token", lambda p: p.pop("automountServiceAccountToken"), "CronJob")
    yield m.pod("the pod's securityContext", lambda p: p.pop("securityContext"), "CronJob")
    yield m.spoil("a service-account token is mounted", "CronJob", lambda d: d["metadata"].update(name="another"))
    yield m.pod("a service-account token is mounted", lambda p: p.update(automountServiceAccountToken=True))
    yield m.pod("to others than the rotator", lambda p: p.update(serviceAccountName="wxmint-keys-rotate"))
    yield m.spoil("its rights are not", "Role", lambda d: d["rules"][0].pop("resourceNames"))
    yield m.spoil("its rights are not", "Role", lambda d: d["rules"][0]["verbs"].append("list"))
    everybody = {"kind": "Group", "name": "system:serviceaccounts"}
    yield m.spoil("to others than the rotator", "RoleBinding", lambda d: d["subjects"].append(everybody))
    yield m.spoil("sent to the Service", "CronJob", lambda d: labels_of(d).update({"app.kubernetes.io/name": "wxmint"}))


def of_sidecar(m):
    """A peer with a sidecar."""
    yield from of_pods(m)
    yield from of_network(m, "wxmint-sidecar", 0)
    sidecar = lambda change: lambda p: change(p["initContainers"][0])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        yield m.pod(f"{probe} does not ask", sidecar(lambda c, probe=probe: c.pop(probe)))
    yield m.pod("is no native sidecar", sidecar(lambda c: c.pop("restartPolicy")))
    for memory in ("128Mi", "255Mi"):
        yield m.pod("which the ends of tokens may need", sidecar(lambda c, memory=memory: c["resources"]["limits"].update(memory=memory)))
    yield m.pod("the container's securityContext", sidecar(lambda c: c.pop("securityContext")))
    settings = "ConfigMap/" + next(d["metadata"]["name"] for d in of_kind(m.documents, "ConfigMap") if "WXMINT_JWKS_URL" in d["data"])
    set_to = lambda **values: lambda d: d["data"].update(values)
    yield m.spoil("beyond its pod", settings, set_to(WXMINT_SIDECAR_LISTEN="0.0.0.0:8181"))
    for url in ("http://login.example.com/jwks", "http://wxmint.wxmint.svc.example.com/", "https://login.example.com/"):
        change = set_to(WXMINT_JWKS_URL=url, WXMINT_DANGEROUS_JWKS_OVER_HTTP="true")
        yield m.spoil("WXMINT_JWKS_URL leads by http beyond", settings, change)
    yield m.spoil("WXMINT_JWKS_URL leads by http beyond", settings, set_to(WXMINT_JWKS_URL="http://login.example.com/jwks"))
    for feed in ("off", "https://login.example.com/revocations,off"):
        change = set_to(WXMINT_JWKS_URL="https://login.example.com/jwks", WXMINT_REVOCATIONS_URL=feed)
        yield m.spoil("the feed is off", settings, change)
    for feed in ("https://ends.example.com/revocations", "https://login.example.com.evil/revocations", "http://login.example.com/revocations"):
        change = set_to(WXMINT_JWKS_URL="https://login.example.com/jwks", WXMINT_REVOCATIONS_URL=feed)
        yield m.spoil("not where the keys are", settings, change)


def of_gateway(m):
    """The Gateway API."""
    yield m.spec("speaks without TLS", "Gateway", lambda s: s["listeners"][0].update(protocol="HTTP"))
    yield m.spec("speaks without TLS", "Gateway", lambda s: s["listeners"][0]["tls"].update(mode="Passthrough"))
    yield m.spec("routes of other namespaces", "Gateway", lambda s: s["listeners"][0].pop("allowedRoutes"))
    yield m.spec("every listener of its gateway", "HTTPRoute", lambda s: s["parentRefs"][0].pop("sectionName"))
    yield m.spec("it leads to", "HTTPRoute", lambda s: s["rules"][0]["backendRefs"][0].update(port=9090))
    for listed in ("/login", "/.well-known"):
        paths = [{"path": {"type": "PathPrefix", "value": listed}}]
        yield m.spec("peers do not reach /revocations", "HTTPRoute", lambda s, paths=paths: s["rules"][0].update(matches=paths))
    yield m.spec("it leads to", "HTTPRoute", lambda s: s["rules"][0]["backendRefs"][0].update(name="wxmint-admin"))


def of_ingress(m):
    """An Ingress, and the ways out that a cloud needs."""
    paths = lambda s: s["rules"][0]["http"]["paths"]
    admin = {"service": {"name": "wxmint-admin", "port": {"name": "http"}}}
    yield m.spec("speaks without TLS", "Ingress", lambda s: s.pop("tls"))
    yield m.spec("speaks without TLS", "Ingress", lambda s: s["tls"][0].update(hosts=["other.example.com"]))
    yield m.spec("peers do not reach /revocations", "Ingress", lambda s: paths(s)[0].update(path="/login"))
    yield m.spec("it leads to", "Ingress", lambda s: paths(s)[0].update(backend=admin))
    yield m.spec("it leads to", "Ingress", lambda s: s.update(defaultBackend=admin))
    yield m.spec("a way out is not named", "NetworkPolicy/wxmint-managed-redis", lambda s: s["egress"][0].pop("ports"))


def of_mesh(m):
    """Istio."""

    def rule(expected, **changed):
        return m.spec(expected, "RequestAuthentication", lambda s: s["jwtRules"][0].update(changed))

    def allowed(expected, **changed):
        return m.spec(expected, "AuthorizationPolicy", lambda s: s["rules"][0].update(changed))

    yield rule("are not https", jwksUri="http://login.example.com/.well-known/jwks.json")
    yield rule("are not https", issuer="login.example.com")
    yield rule("tokens for others", audiences=[])
    yield rule("elsewhere than Authorization", fromHeaders=[])
    yield rule("elsewhere than Authorization", fromParams=["access_token"])
    yield rule("identity headers are not", outputClaimToHeaders=[{"header": "X-User-Id", "claim": "client_id"}])
    nobody = {"from": [{"source": {"requestPrincipals": []}}]}
    for changed in (nobody, {"from": [{"source": {"requestPrincipals": ["*"]}}]}, {"from": []}, {"from": [{"source": {}}]}):
        yield allowed("no token of the issuer", **changed)
    yield allowed("no token of the issuer", **{"from": [], "to": [{"operation": {"methods": ["GET"]}}]})
    yield m.spec("no list of what is allowed", "AuthorizationPolicy", lambda s: s.update(action="DENY"))
    yield m.spec("no list of what is allowed", "AuthorizationPolicy", lambda s: s.update(rules=[]))
    yield m.spec("taken away first", "EnvoyFilter", lambda s: s["configPatches"][0]["patch"].update(operation="ADD"))
    yield m.spec("taken away first", "EnvoyFilter", lambda s: s["configPatches"][0]["match"].update(context="GATEWAY"))
    for kind in ("AuthorizationPolicy", "EnvoyFilter"):
        yield m.without(f"no {kind} stands beside", kind)
    yield m.spec("no AuthorizationPolicy stands", "AuthorizationPolicy", lambda s: s.pop("selector"))
    yield m.spec("around the mesh", "PeerAuthentication", lambda s: s.update(mtls={"mode": "PERMISSIVE"}))


def of_ends(m):
    """Istio with the sidecar."""
    where = "EnvoyFilter/wxmint-revocations"
    asks = lambda s: s["configPatches"][1]["patch"]["value"]["typed_config"]
    yield m.spec("while the sidecar is away", where, lambda s: asks(s).pop("failure_mode_allow"))
    yield m.spec("while the sidecar is away", where, lambda s: asks(s).update(failure_mode_allow=True))
    yield m.spec("may be taken away with the client's", where, lambda s: s.pop("priority"))
    yield m.without("no EnvoyFilter stands beside", "EnvoyFilter")


def of_lookup(m):
    """Peers and operators that ask the admin listener about users."""
    yield m.container("knows no secrets", lambda c: c.pop("env"))
    where = "NetworkPolicy/wxmint-admin-lookup"
    yield m.spec("open to every pod of a namespace", where, lambda s: s["ingress"][0]["from"][0].pop("podSelector"))


FAULTS = {
    "admin-lookup": of_lookup,
    "production": of_issuer,
    "sidecar": of_sidecar,
    "gateway-api": of_gateway,
    "tke": of_ingress,
    "ack": of_ingress,
    "istio": of_mesh,
    "istio-revocations": of_ends,
}


class Executed:
    """Which lines of k8s_policy.py have run within a `with` block: a rule that has never refused has lines that have not."""

    def __init__(self):
        self.lines = set()

    def __enter__(self):
        sys.settrace(self.note)

    def __exit__(self, *_):
        sys.settrace(None)

    def note(self, frame, event, _):
        if frame.f_code.co_filename != k8s_policy.__file__:
            return None
        self.lines.add(frame.f_lineno)
        return self.note

    def missed(self):
        rules = [rule for name, rule in vars(k8s_policy).items() if name.startswith("check")]
        for rule in rules:
            lines = {line for _, _, line in rule.__code__.co_lines() if line}
            yield from (f"{rule.__name__}, line {line}" for line in sorted(lines - self.lines))


def main():
    """Exits with 1 and what was not noticed, or says how much was."""
    folder, complaints, executed, tried = Path(sys.argv[1]), [], Executed(), 0
    for overlay, faults_of in FAULTS.items():
        documents = documents_in(folder / f"{overlay}.yaml")
        settings = set(variables(documents)) | {*k8s_policy.OVER_HTTP, "WXMINT_APP_SECRET"}
        complaints += [f"{overlay}: the good manifest is refused: {fault}" for fault in check(documents, settings)]
        for expected, manifests in faults_of(Manifests(documents)):
            tried += 1
            with executed:
                noticed = list(check(manifests, settings))
            if not any(expected in fault for fault in noticed):
                complaints.append(f"{overlay}: not noticed: {expected} (noticed: {noticed})")
    complaints += [f"{where}: no fault here shows that it can refuse" for where in executed.missed()]
    print(*complaints or [f"policy: {tried} faults refused, and they reach each line of the rules"], sep="\n")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()

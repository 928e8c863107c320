"""Traefik as the controller of Ingress and Gateway API: a login from outside of the cluster, and the sidecar in front of a service."""

import random

from asked import bearer, elsewhere, get, kubectl, rolled_out, seconds_until
from cluster import DOOR, OUTSIDE, apply
from sidecar import OBEYED, Knocking
from world import APPID, AS_NOBODY, HERE, HOST, ISSUER, ORDERS, blocked, certificate, codes, config, container, front, install, issuer, log_in, mounted
from world import custom_resources, namespace, pod, runs

PORT = 30443
OUTER = f"{DOOR}:{PORT}"
ROUTES, CLASS = "gateway.networking.k8s.io", "traefik"
ROLE = [({"": ["services", "secrets", "nodes", "namespaces", "configmaps"], "discovery.k8s.io": ["endpointslices"],
          "networking.k8s.io": ["ingresses", "ingressclasses"], ROUTES: ["*"]}, ["get", "list", "watch"]),
        ({"networking.k8s.io": ["ingresses/status"], ROUTES: ["gatewayclasses/status", "gateways/status", "httproutes/status"]}, ["update"])]
# A Gateway's listener is the entry point with the same port.
TRAEFIK = ["traefik", "--entrypoints.websecure.address=:443", "--entrypoints.websecure.http.tls=true", "--ping=true",
           "--entrypoints.traefik.address=:8081", "--entrypoints.websecure.transport.lifecycle.requestacceptgracetimeout=5s",
           "--entrypoints.websecure.http.aliasheadersstrategy=delete", "--providers.kubernetesingress=true",
           "--providers.kubernetesingress.ingressclass=traefik", "--providers.kubernetesgateway=true", "--providers.file.filename=/etc/traefik/dynamic.yml",
           "--global.checknewversion=false", "--global.sendanonymoususage=false"]
VERIFY = """http: {middlewares: {verify: {forwardAuth: {address: "http://127.0.0.1:8181/verify", trustForwardHeader: false,
  authRequestHeaders: [Authorization], authResponseHeaders: [X-User-Id, X-Client-Id, X-Token-Id], maxResponseBodySize: 4096}}}}
"""
SIDECAR = {"WXMINT_ISSUER": ISSUER, "WXMINT_AUDIENCE": ISSUER, "WXMINT_DANGEROUS_JWKS_OVER_HTTP": "true", "WXMINT_ADMIN_LISTEN": "0.0.0.0:9090",
           "WXMINT_JWKS_URL": "http://wxmint.wxmint.svc.cluster.local/.well-known/jwks.json"}
SHOP = "https://shop.example.com/orders"
INGRESS = {"ingress": {"enabled": True, "className": CLASS}}


def rights():
    """What Traefik may read."""
    rules = [{"apiGroups": [group], "resources": resources, "verbs": verbs} for groups, verbs in ROLE for group, resources in groups.items()]
    subject = {"kind": "ServiceAccount", "name": "traefik", "namespace": "gateway"}
    return [{"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "traefik"}},
            {"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "traefik"}, "rules": rules},
            {"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "traefik"}, "subjects": [subject],
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "traefik"}},
            {"kind": "IngressClass", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": "traefik"}, "spec": {"controller": "traefik.io/ingress-controller"}},
            {"kind": "GatewayClass", "apiVersion": f"{ROUTES}/v1", "metadata": {"name": CLASS}, "spec": {"controllerName": "traefik.io/gateway-controller"}}]


def deployment():
    """Traefik with the sidecar in its pod."""
    alive = {"httpGet": {"path": "/ping", "port": 8081}, "periodSeconds": 1}
    gateway = container("traefik", *TRAEFIK, readinessProbe=alive, volumeMounts=[mounted("dynamic", "/etc/traefik"), mounted("tmp", "/tmp")])
    asked = container("wxmint-sidecar", "sidecar", image="0.1.0", restartPolicy="Always", env=[{"name": name, "value": value} for name, value in SIDECAR.items()],
                      readinessProbe={"httpGet": {"path": "/readyz", "port": 9090}, "periodSeconds": 1})
    labels = {"wxmint/fetches-keys": "true"}
    made = pod("traefik", gateway, labels=labels, volumes=[{"name": "dynamic", "configMap": {"name": "dynamic"}}, {"name": "tmp", "emptyDir": {}}])
    made["spec"] |= {"serviceAccountName": "traefik", "automountServiceAccountToken": True, "initContainers": [asked],
                     "securityContext": {**AS_NOBODY, "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "443"}]}}
    return {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "traefik"},
            "spec": {"replicas": 1, "strategy": {"rollingUpdate": {"maxUnavailable": 0}}, "selector": {"matchLabels": {"app.kubernetes.io/name": "traefik"}},
                     "template": {"metadata": {"labels": made["metadata"]["labels"]}, "spec": made["spec"]}}}


def gateway():
    """The issuer behind it by the chart's own Ingress; the client's address is kept."""
    issuer()
    custom_resources()
    namespace("gateway", sends_logins="allowed", fetches_keys="allowed")
    node_port = front("traefik", 443, type="NodePort", externalTrafficPolicy="Local")
    node_port["spec"]["ports"][0]["nodePort"] = PORT
    apply("gateway", *rights(), config("dynamic", dynamic__yml=VERIFY), deployment(), node_port)
    apply("wxmint", certificate("wxmint-tls", HOST))
    install("wxmint", "wxmint", INGRESS)
    rolled_out()
    rolled_out("traefik", "gateway")
    leads_to_wxmint()


def leads_to_wxmint(status=200):
    """Waits until the issuer's address does, or no longer."""
    seconds_until(lambda: outside("GET", f"{ISSUER}/.well-known/jwks.json")[0] == status, 60)


def outside(method, url, body=None, headers=None, source=OUTSIDE[0]):
    """The answer to a client on the internet."""
    return elsewhere("outside", "call", method, url, body, headers, OUTER, source)


def logs_in(source):
    """The status of a login through the gateway, which says it came from somewhere else."""
    forged = {"X-Forwarded-For": f"198.51.100.{random.randrange(256)}", "X-Real-Ip": "198.51.100.1", "Forwarded": "for=198.51.100.2"}
    return outside("POST", f"{ISSUER}/login", {"code": codes(1)[0], "appid": APPID}, forged, source)[0]


def a_login_from_outside_counts_for_the_clients_address():
    """Whatever the client writes into its headers; another client is not limited by it."""
    gateway()
    counts_for(*OUTSIDE[:2])


def counts_for(client, another):
    """The first of them logs in as often as it may."""
    limit = int(HERE["settings"]["WXMINT_LIMIT_IP"].partition("/")[0])
    assert [logs_in(client) for _ in range(limit)] == [200] * limit
    assert logs_in(client) == 429
    assert logs_in(another) == 200


def a_login_by_the_gateway_api_counts_for_the_clients_address():
    """By the chart's Gateway and HTTPRoute, which its controller accepts, once the Ingress is gone."""
    gateway()
    install("wxmint", "wxmint", {})
    leads_to_wxmint(404)
    install("wxmint", "wxmint", {"gateway": {"enabled": True, "className": CLASS}})
    leads_to_wxmint()
    kubectl("wait", "gateway/wxmint", "--for=condition=Programmed", "--timeout=10s")
    (parent,) = get("httproute/wxmint")["status"]["parents"]
    held = {condition["type"] for condition in parent["conditions"] if condition["status"] == "True"}
    assert held >= {"Accepted", "ResolvedRefs"}, parent
    counts_for(*OUTSIDE[2:])


def plain_service():
    """A service without a sidecar, behind the gateway's."""
    namespace("shop")
    nginx = container("orders", "nginx", "-e", "/dev/stderr", "-c", "/etc/nginx/nginx.conf", "-g", "daemon off;",
                      volumeMounts=[mounted("nginx", "/etc/nginx"), mounted("tmp", "/tmp")])
    volumes = [{"name": "nginx", "configMap": {"name": "orders"}}, {"name": "tmp", "emptyDir": {}}]
    rule = {"host": "shop.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "shop", "port": {"number": 80}}}}]}}
    ingress = {"kind": "Ingress", "apiVersion": "networking.k8s.io/v1",
               "metadata": {"name": "shop", "annotations": {"traefik.ingress.kubernetes.io/router.middlewares": "verify@file"}},
               "spec": {"ingressClassName": "traefik", "rules": [rule]}}
    apply("shop", config("orders", nginx__conf=ORDERS.replace("127.0.0.1:3000", "3000")), pod("shop", nginx, volumes=volumes), front("shop", 80, 3000), ingress)
    runs("shop", "shop")


class KnockingOutside(Knocking):
    """The same, from the internet."""

    def ask(self):
        return outside("GET", self.url, headers=bearer(self.token))[0]


def the_sidecar_in_front_lets_a_login_pass_and_obeys_a_ban():
    """In the gateway's pod; also while gateway and issuer are rolled."""
    gateway()
    plain_service()
    login = issuer()
    (good, user), (banned, of_banned) = log_in(login), log_in(login)
    seconds_until(lambda: outside("GET", SHOP, headers=bearer(good))[0] == 200, 30)
    status, _, said = outside("GET", SHOP, headers={**bearer(good), "X-User-Id": "somebody-else"})
    assert status == 200 and said["user"] == user, (status, said)
    assert outside("GET", SHOP)[0] == 401 and outside("GET", SHOP, headers={"X-User-Id": user})[0] == 401
    with KnockingOutside(SHOP, good) as passes:
        kubectl("rollout", "restart", "deployment/traefik", namespace="gateway")
        kubectl("rollout", "restart", "deployment/wxmint")
        assert outside("GET", SHOP, headers=bearer(banned))[0] == 200
        blocked(of_banned)
        took = seconds_until(lambda: outside("GET", SHOP, headers=bearer(banned))[0] == 401, OBEYED)
        rolled_out("traefik", "gateway")
        rolled_out()
    assert {status for _, status in passes.answers} == {200}, passes.answers
    assert outside("GET", SHOP, headers=bearer(banned))[0] == 401
    return f"{len(passes.answers)} requests passed; the ban was obeyed after {took:.1f} s"

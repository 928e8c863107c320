"""What the tests stand on, made when a test first asks for it: WeChat's stand-in behind TLS, Redis, issuers, a service."""

import itertools
import json
import os
import random
from functools import cache
from subprocess import DEVNULL

from asked import CHART, HELM, PROGRAM, ROOT, address, bearer, call, get, kubectl, namespaced, rolled_out, run, secret, service, until
from cluster import MADE, RUN, apply, succeeds

APPID, SECOND_APPID, APP_SECRET = "wxc0ffee0000000001", "wxc0ffee0000000002", "5ec2e700c0ffee005ec2e700c0ffee00"
ISSUER, HOST = "https://login.example.com", "login.example.com"
SECRET = "0123456789abcdef0123456789abcdef"
OPERATOR = bearer(SECRET)
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
AS_NOBODY = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
WECHAT = "simulator.wechat.svc.cluster.local"
NGINX = """worker_processes 1; error_log /dev/stderr warn; pid /tmp/nginx.pid; events {}
http { access_log off; client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; %s }
"""
TLS_FRONT = NGINX % """upstream simulator { server 127.0.0.1:8090; keepalive 16; }
  server { listen 8443 ssl; ssl_certificate /etc/tls/tls.crt; ssl_certificate_key /etc/tls/tls.key;
    location / { proxy_pass http://simulator; proxy_set_header Host 127.0.0.1; proxy_http_version 1.1; proxy_set_header Connection ""; } }"""
# The image `orders` has it: a service that says whom the request is from, as its proxy says.
ORDERS = (ROOT / "tests/cluster/orders.conf").read_text()
# The image is here, and WeChat in the cluster: what a values file says of that. The rest is as a user writes it.
HERE = {
    "image": {"repository": "docker.io/library/wxmint", "pullPolicy": "Never"}, "appid": APPID, "issuer": ISSUER,
    "settings": {"WXMINT_WECHAT_URL": f"https://{WECHAT}", "WXMINT_TRUSTED_PROXIES": "10.77.0.1/32,10.244.0.0/24", "WXMINT_LIMIT_IP": "20/5m"},
    "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/etc/wechat/ca.crt"}],
    "extraVolumes": [{"name": "wechat", "configMap": {"name": "wechat"}}],
    "extraVolumeMounts": [{"name": "wechat", "mountPath": "/etc/wechat"}],
    "networkPolicy": {"defaultDeny": True, "extraEgress": [{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "wechat"}}}],
                                                            "ports": [{"port": 8443}]}]},
    "admin": {"enabled": True},
}
SERVED = {"resources": {"requests": {"cpu": "100m"}}}  # without a request, a pod waits for all others of the machine
people = itertools.count()


def container(name, *command, image="parts", **rest):
    """One that meets Pod Security."""
    entry = {"command": list(command)} if image == "parts" else {"args": list(command)}
    return {"name": name, "image": f"docker.io/library/wxmint:{image}", "imagePullPolicy": "Never", "securityContext": RESTRICTED, **entry, **rest}


def pod(name, *containers, labels=None, volumes=(), **rest):
    """One that meets Pod Security and has no token of the API."""
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name, **(labels or {})}},
            "spec": {"containers": list(containers), "volumes": list(volumes), "automountServiceAccountToken": False,
                     "enableServiceLinks": False, "securityContext": AS_NOBODY, **rest}}


def front(name, port, to=None, **rest):
    """A Service for the pods of this name, or of those that `selector` names."""
    ports = [{"name": "http", "port": port, "targetPort": to or port}]
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name},
            "spec": {"selector": {"app.kubernetes.io/name": name}, "ports": ports, **rest}}


def config(name, **files):
    """A ConfigMap."""
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {file.replace("__", "."): text for file, text in files.items()}}


def mounted(name, where):
    """A volume's place in a container."""
    return {"name": name, "mountPath": where}


def namespace(name, **labels):
    """A namespace in which Pod Security is enforced."""
    labels = {f"wxmint/{label.replace('_', '-')}": value for label, value in labels.items()}
    labels["pod-security.kubernetes.io/enforce"] = "restricted"
    apply("default", {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}})
    until(f"{name} has an account", lambda: succeeds("kubectl", "get", "serviceaccount/default", f"--namespace={name}"))


def runs(where, *names):
    """Waits until pods are ready."""
    kubectl("wait", *(f"pod/{name}" for name in names), "--for=condition=Ready", "--timeout=180s", namespace=where)


def certificate(name, host):
    """A Secret with a certificate that signs itself, and its key."""
    key, crt = RUN / f"{name}.key", RUN / f"{name}.crt"
    crt.exists() or run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
                        "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", crt, stderr=DEVNULL)
    return {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}, "type": "kubernetes.io/tls",
            "stringData": {"tls.key": key.read_text(), "tls.crt": crt.read_text()}}


@cache
def custom_resources():
    """Those of the Gateway API, Istio and the Prometheus operator."""
    run("kubectl", "apply", "--server-side", "--filename", MADE.parent / "tools/kube/crds")
    run("kubectl", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


@cache
def wechat():
    """The simulator, behind TLS: wxmint calls WeChat by https only. Tests ask it for codes by plain http."""
    namespace("wechat")
    tls = certificate("simulator", WECHAT)
    volumes = [{"name": "tls", "secret": {"secretName": "simulator"}}, {"name": "nginx", "configMap": {"name": "front"}}, {"name": "tmp", "emptyDir": {}}]
    simulator = container("simulator", "simulator", "--listen=0.0.0.0:8090", "--dangerous-listen-anywhere", "--no-journal",
                          *(f"--app={app}:{APP_SECRET}" for app in (APPID, SECOND_APPID)), image="0.1.0", **SERVED)
    nginx = container("front", "nginx", "-e", "/dev/stderr", "-c", "/etc/nginx/nginx.conf", "-g", "daemon off;",
                      volumeMounts=[mounted("tls", "/etc/tls"), mounted("nginx", "/etc/nginx"), mounted("tmp", "/tmp")], **SERVED)
    apply("wechat", tls, config("front", nginx__conf=TLS_FRONT), pod("simulator", simulator, nginx, volumes=volumes), front("simulator", 443, 8443),
          front("codes", 8090, selector={"app.kubernetes.io/name": "simulator"}))
    runs("wechat", "simulator")
    return f"http://{address(get('pod/simulator', namespace='wechat'))}:8090/_simulator", tls["stringData"]["tls.crt"]


def codes(count, app=APPID):
    """Login codes of as many new people."""
    asked = {"person": f"person-{os.getpid()}-{next(people)}", "appid": app, "count": count, "distinct_people": True}
    return call("POST", f"{wechat()[0]}/codes", asked)[2]["codes"]


def redis(where, *options):
    """A Redis, and the Secret with its URL."""
    server = container("redis", "redis-server", "--save", "", "--protected-mode", "no", "--maxmemory-policy", "noeviction", *options, **SERVED)
    apply(where, pod("redis", server), front("redis", 6379))
    secret("wxmint-redis", where, url="redis://redis:6379")


def install(where, name, values, **settings):
    """A release of the chart, or its next version."""
    values = {**HERE, **values, "settings": {**HERE["settings"], **settings}}
    (RUN / f"{where}-{name}.json").write_text(json.dumps(values))
    run(HELM, "upgrade", "--install", name, CHART, f"--namespace={where}", "--values", RUN / f"{where}-{name}.json")


@cache
def issuer(where="wxmint", app=APPID, **settings):
    """Two replicas with all that they need; where the Service is."""
    trusted = wechat()[1]
    if where == "wxmint":
        namespaced()
    else:
        namespace(where)
    apply(where, config("wechat", ca__crt=trusted))
    redis(where)
    run(PROGRAM, "keys", "generate", "--if-missing", f"--secret={where}/wxmint-keys")
    secret("wxmint-vault", where, vault__key=run("openssl", "rand", "-base64", "32"))
    secret("wxmint-app", where, secret=APP_SECRET)
    secret("wxmint-admin-tokens", where, admin__tokens=f"tests {SECRET} read,operate,wechat\n")
    install(where, "wxmint", {"appid": app}, **settings)
    rolled_out("wxmint", where)
    return f"http://{service('wxmint', where)}"


def login(at, app=APPID):
    """The answer to a new person's login, from an address of their own."""
    address = {"X-Forwarded-For": f"198.51.{random.randrange(256)}.{random.randrange(256)}"}
    return call("POST", f"{at}/login", {"code": codes(1, app)[0], "appid": app}, address)


def log_in(at, app=APPID):
    """A new person's token and user id."""
    status, _, answer = login(at, app)
    assert status == 200, (status, answer)
    return answer["access_token"], answer["user_id"]


@cache
def orders(where="orders", of="wxmint"):
    """Two replicas of a service with the sidecar, for an issuer that is there; where the Service is."""
    namespace(where, fetches_keys="allowed")
    tmp = [{"name": "scratch", "emptyDir": {}}], [mounted("scratch", "/tmp")]
    peer = {"enabled": True, "audience": ISSUER, "image": "docker.io/library/wxmint:orders", "nginx": {"image": "docker.io/library/wxmint:parts"},
            "issuerInCluster": {"namespace": of}}
    values = {"image": HERE["image"], "issuer": ISSUER, "peer": peer, "extraVolumes": tmp[0], "extraVolumeMounts": tmp[1]}
    (RUN / f"{where}.json").write_text(json.dumps(values))
    run(HELM, "upgrade", "--install", "orders", CHART, f"--namespace={where}", "--values", RUN / f"{where}.json")
    rolled_out("orders", where)
    return f"http://{service('orders', where)}/orders"


def opens(token, url):
    """The status of a request with this token."""
    return call("GET", url, headers=bearer(token))[0]


def blocked(user, where="wxmint"):
    """An operator blocks a user."""
    status, _, said = call("PUT", f"http://{service('wxmint-admin', where)}:9090/users/{user}/block", headers=OPERATOR)
    assert status == 204, (status, said)

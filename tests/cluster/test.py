#!/usr/bin/env python3
"""Asks a real Kubernetes about the chart and the rotation: `cluster.py plane tests/cluster/test.py`."""

import base64
import itertools
import json
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cluster import API, MADE, PATIENCE, RUN, kubeconfig, run, succeeds, until

ROOT = MADE.parents[1]
HELM, PROGRAM, CHART = MADE.parent / "tools/python/bin/helm", MADE.parent / "debug/wxmint", ROOT / "k8s/chart"
IN = "--namespace=wxmint"
KEYS, SECRETS = "/api/v1/namespaces/wxmint/secrets/wxmint-keys", "/api/v1/namespaces/wxmint/secrets"
ROTATOR = "system:serviceaccount:wxmint:wxmint-keys-rotate"
APPID, APP_SECRET, REDIS_AT = "wxc0ffee0000000001", "5ec2e700c0ffee005ec2e700c0ffee00", "10.96.0.20"
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
SIMULATOR = {"name": "simulator", "image": "docker.io/library/wxmint:0.1.0", "imagePullPolicy": "Never", "securityContext": RESTRICTED,
             "args": ["simulator", "--listen", "0.0.0.0:8090", "--dangerous-listen-anywhere"]}
REDIS_POD = {"name": "redis", "image": "docker.io/library/wxmint:parts", "imagePullPolicy": "Never", "securityContext": RESTRICTED,
             "command": ["/redis-server", "--save", "", "--protected-mode", "no"]}
CALLED_REDIS = {"app.kubernetes.io/name": "redis"}
REDIS = {"kind": "List", "apiVersion": "v1", "items": [
    {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "redis", "labels": CALLED_REDIS},
     "spec": {"containers": [REDIS_POD], "automountServiceAccountToken": False,
              "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}}},
    {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "redis"},
     "spec": {"clusterIP": REDIS_AT, "selector": CALLED_REDIS, "ports": [{"port": 6379}]}}]}
VALUES = ["--set=image.repository=docker.io/library/wxmint", "--set=image.pullPolicy=Never", f"--set=appid={APPID}",
          "--set=issuer=https://login.example.com"]
WRONG = {"replcas=3": "replcas", "replicas=many": "replicas", "issuer=http://login.example.com": "issuer", "rotation.evry=1d": "evry"}


def refused(said, *words, **options):
    """A command that must fail, and say this."""
    done = subprocess.run([str(word) for word in words], check=False, text=True, capture_output=True, **options)
    assert done.returncode != 0 and said in done.stderr, f"{words}: not refused with {said}: {done.stdout}{done.stderr}"


def ask(token, method, path, body=None):
    """The API server's answer to this token."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(API + path, json.dumps(body).encode() if body else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=RUN / "pki/apiserver.crt")) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def get(*words):
    """The answer of `kubectl get`."""
    return json.loads(run("kubectl", "get", IN, "--output=json", *words))


def pods(name):
    """Those of this name that are not on their way out."""
    found = get("pods", f"--selector=app.kubernetes.io/name={name}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def rotate(config, *options):
    """`wxmint keys rotate` on the Secret, as the Job's container runs it."""
    words = [PROGRAM, "keys", "rotate", "--secret=wxmint/wxmint-keys", "--publish-configmap=wxmint/wxmint-jwks", *options]
    return subprocess.Popen(words, env={"KUBECONFIG": str(config)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def keys():
    """The key ids in the Secret, and in the ConfigMap."""
    secret = json.loads(base64.b64decode(get("secret/wxmint-keys")["data"]["keys.json"]))
    public = json.loads(get("configmap/wxmint-jwks").get("data", {}).get("jwks.json", '{"keys":[]}'))
    return [[key["kid"] for key in jwks["keys"]] for jwks in (secret, public)]


def new_keys():
    """A Secret with one key."""
    run("kubectl", "delete", "secret", "wxmint-keys", IN, "--ignore-not-found")
    run(PROGRAM, "keys", "generate", "--secret=wxmint/wxmint-keys")


def the_chart_is_admitted_where_restricted_is_enforced():
    """Also as upgraded, and as rolled back; Pods, not only what makes them."""
    refused('violates PodSecurity "restricted', "kubectl", "run", IN, "bad", "--image=bad", "--privileged")
    for values in sorted((CHART / "ci").glob("*.yaml")):
        objects = run(HELM, "template", "wxmint", CHART, IN, "--values", values)
        run("kubectl", "apply", IN, "--dry-run=server", "--warnings-as-errors", "--filename=-", input=objects)
    run(HELM, "install", "wxmint", CHART, IN, *VALUES)
    until("two pods are admitted", lambda: len(pods("wxmint")) == 2)
    run("kubectl", "create", "job", IN, "--from=cronjob/wxmint-keys-rotate", "once")
    until("the rotation's pod is admitted", lambda: len(pods("wxmint-keys-rotate")) >= 1)
    run(HELM, "upgrade", "wxmint", CHART, IN, *VALUES, "--set=replicas=3")
    until("three pods are admitted", lambda: len(pods("wxmint")) == 3)
    run(HELM, "rollback", "wxmint", "1", IN)
    until("two pods are left", lambda: len(pods("wxmint")) == 2)
    assert "serviceAccountToken" not in json.dumps(pods("wxmint")), "serve has a token of the API"
    assert "serviceAccountToken" in json.dumps(pods("wxmint-keys-rotate"))


def the_rendered_manifests_are_admitted():
    """With no warning, the monitoring too, and the sidecar's pods where restricted is enforced."""
    run("kubectl", "apply", "--server-side", "--filename", MADE.parent / "tools/kube/crds")
    run("kubectl", "wait", "--for=condition=Established", "crd", "--all")
    run("kubectl", "create", "namespace", "orders")
    run("kubectl", "label", "namespace", "orders", "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
    for place in ("rendered/small.yaml", "rendered/production.yaml", "monitoring"):
        run("kubectl", "apply", IN, "--filename", ROOT / "k8s" / place, "--dry-run=server", "--warnings-as-errors")
    run("kubectl", "apply", "--namespace=orders", "--filename", ROOT / "k8s/rendered/sidecar.yaml", "--warnings-as-errors")
    until("the sidecar's pods are admitted", lambda: len(get("pods", "--namespace=orders")["items"]) == 2)
    run("kubectl", "delete", "namespace", "orders", "--wait=false")


def wrong_values_are_refused_with_their_names():
    """By the schema, before anything is sent."""
    for value, name in WRONG.items():
        refused(name, HELM, "upgrade", "wxmint", CHART, IN, *VALUES, f"--set={value}")


def the_rotation_may_do_what_it_does_and_nothing_else(token):
    """By what the API server says of its rights, and by what it does."""
    status, said = ask(token, "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": "wxmint"}})
    rights = {(resource, name, verb) for rule in said["status"]["resourceRules"] for resource in rule["resources"]
              for name in rule.get("resourceNames", ["*"]) for verb in rule["verbs"] if not resource.startswith("selfsubject")}
    own = {("secrets", "wxmint-keys"), ("configmaps", "wxmint-jwks")}
    assert status == 201 and rights == {(*thing, verb) for thing in own for verb in ("get", "update")}, rights
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind", "escalate")
    resources = [name.partition(".") for name in run("kubectl", "api-resources", "--output=name").split()]
    asked = 0
    for (resource, _, group), name, verb in itertools.product(resources, ("", "wxmint-keys", "wxmint-jwks"), verbs):
        if resource.startswith("selfsubject") or name and resource not in ("secrets", "configmaps") or (resource, name, verb) in rights:
            continue
        wanted = {"namespace": "wxmint", "verb": verb, "group": group, "resource": resource, "name": name}
        answer = ask(token, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": wanted}})[1]
        assert answer["status"]["allowed"] is False, answer
        asked += 1
    run("kubectl", "create", "secret", "generic", "other", IN, "--from-literal=a=b")
    secret = get("secret/wxmint-keys")
    assert ask(token, "GET", KEYS)[0] == 200 and ask(token, "PUT", KEYS, secret)[0] == 200
    others = (SECRETS + "/other", "/api/v1/namespaces/kube-system/secrets/any")
    tried = [*itertools.product(("GET", "PUT", "PATCH", "DELETE"), others), *itertools.product(("PATCH", "DELETE"), [KEYS])]
    tried += [*itertools.product(("GET", "POST", "DELETE"), [SECRETS]), ("GET", SECRETS + "?watch=1")]
    for method, path in tried:
        status = ask(token, method, path, None if method == "GET" else secret)[0]
        assert status == 403, (method, path, status)
    print(f"cluster: {asked} other rights are denied")


def the_rotation_changes_the_secret_and_two_at_once_change_it_once(config):
    """And the public set with it."""
    for _ in range(5):
        new_keys()
        before = keys()[0]
        two = [rotate(config, "--now") for _ in range(2)]
        said = [process.communicate()[0] for process in two]
        assert [process.returncode for process in two] == [0, 0], said
        assert sorted("published a new" in text for text in said) == [False, True], said
        secret, public = keys()
        assert len(secret) == 2 and secret[0] == before[0] and sorted(public) == sorted(secret), (before, secret, public)


def a_conflicting_write_is_repeated(token):
    """Somebody changes the Secret between the rotation's read and its write."""
    written = []

    class Between(BaseHTTPRequestHandler):
        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            ours = self.command == "PUT" and self.path.startswith(KEYS)
            if ours and not written:
                run("kubectl", "annotate", "secret/wxmint-keys", IN, "somebody=else")
            status, answer = ask(token, self.command, self.path, json.loads(body) if body else None)
            written.extend([status] if ours else [])
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_PUT = forward  # noqa: N815
        def log_message(self, *_): pass

    new_keys()
    with ThreadingHTTPServer(("127.0.0.1", 0), Between) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = kubeconfig("between", "none")
        config.write_text(config.read_text().replace(API, f"http://127.0.0.1:{server.server_port}"))
        process = rotate(config, "--now")
        said = process.communicate()[0]
        server.shutdown()
    assert process.returncode == 0 and written == [409, 200] and len(keys()[0]) == 2, (said, written)
    assert get("secret/wxmint-keys")["metadata"]["annotations"]["somebody"] == "else"


def http(method, url, body=None):
    """An answer of a pod or a Service; None if there is none."""
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None


def a_person_logs_in_through_the_service():
    """Redis, wxmint and the simulator as pods. The simulator shares wxmint's pod, which speaks plain http on loopback only."""
    new_keys()
    run("kubectl", "apply", IN, "--filename=-", input=json.dumps(REDIS))
    vault = run("openssl", "rand", "-base64", "32").strip()
    for name, field in (("vault", f"vault.key={vault}\n"), ("app", f"secret={APP_SECRET}"), ("redis", f"url=redis://{REDIS_AT}:6379")):
        run("kubectl", "create", "secret", "generic", IN, f"wxmint-{name}", f"--from-literal={field}")
    run(HELM, "upgrade", "wxmint", CHART, IN, *VALUES, "--set=replicas=1", "--set=settings.WXMINT_WECHAT_URL=http://127.0.0.1:8090")
    run("kubectl", "patch", "deployment/wxmint", IN, "--patch", json.dumps({"spec": {"template": {"spec": {"containers": [SIMULATOR]}}}}))
    run("kubectl", "rollout", "status", "deployment/wxmint", IN, f"--timeout={PATIENCE}s")
    until("one pod is left", lambda: len(pods("wxmint")) == 1)
    simulator = f"http://{pods('wxmint')[0]['status']['podIP']}:8090/_simulator/codes"
    service = f"http://{get('service/wxmint')['spec']['clusterIP']}"
    code = http("POST", simulator, {"person": "lin", "appid": APPID})["codes"][0]
    answer = http("POST", f"{service}/login", {"code": code, "appid": APPID})
    assert answer["access_token"].count(".") == 2, answer
    return service


def the_job_rotates_and_the_pod_takes_the_keys(service):
    """The CronJob's own, but at once; nothing restarts."""
    uid = pods("wxmint")[0]["metadata"]["uid"]
    job = get("cronjob/wxmint-keys-rotate")["spec"]["jobTemplate"]
    job["spec"]["template"]["spec"]["containers"][0]["args"].append("--now")
    run("kubectl", "create", IN, "--filename=-", input=json.dumps({**job, "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "now"}}))
    run("kubectl", "wait", "job/now", IN, "--for=condition=Complete", f"--timeout={PATIENCE}s")
    kids = sorted(keys()[0])
    assert len(kids) == 2, kids
    until("the pod has the keys", lambda: sorted(key["kid"] for key in http("GET", f"{service}/.well-known/jwks.json")["keys"]) == kids)
    assert [pod["metadata"]["uid"] for pod in pods("wxmint")] == [uid]


def main():
    """In this order: each needs what the earlier ones have made."""
    run("kubectl", "apply", "--filename", ROOT / "k8s/namespace.yaml")
    until("the namespace has an account", lambda: succeeds("kubectl", "get", "serviceaccount/default", IN))
    the_rendered_manifests_are_admitted()
    the_chart_is_admitted_where_restricted_is_enforced()
    wrong_values_are_refused_with_their_names()
    new_keys()
    token = run("kubectl", "create", "token", "wxmint-keys-rotate", IN).strip()
    the_rotation_may_do_what_it_does_and_nothing_else(token)
    the_rotation_changes_the_secret_and_two_at_once_change_it_once(kubeconfig("rotation", token))
    a_conflicting_write_is_repeated(token)
    if succeeds("kubectl", "get", "node/node"):
        the_job_rotates_and_the_pod_takes_the_keys(a_person_logs_in_through_the_service())
    print("cluster: all of it holds")


if __name__ == "__main__":
    main()

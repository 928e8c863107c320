"""What the tests ask of the cluster: objects, pods, answers over HTTP, and other networks than the node's."""

import base64
import http.client
import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path

from cluster import API, MADE, PATIENCE, RUN, run, succeeds, until

ROOT = MADE.parents[1]
HELM, PROGRAM, CHART = MADE.parent / "tools/python/bin/helm", MADE / "bin/wxmint", ROOT / "k8s/chart"
KEYS, SECRETS = "/api/v1/namespaces/wxmint/secrets/wxmint-keys", "/api/v1/namespaces/wxmint/secrets"


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


def kubectl(*words, namespace="wxmint", **options):
    """What kubectl says; it must succeed."""
    return run("kubectl", f"--namespace={namespace}", *words, **options)


def get(*words, namespace="wxmint"):
    """The answer of `kubectl get`."""
    return json.loads(kubectl("get", "--output=json", *words, namespace=namespace))


def pods(name, namespace="wxmint"):
    """Those of this name that are not on their way out."""
    found = get("pods", f"--selector=app.kubernetes.io/name={name}", namespace=namespace)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def ready(pod):
    """Whether it gets requests."""
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in pod["status"].get("conditions", []))


def address(pod):
    """A pod's own."""
    return pod["status"]["podIP"]


def replicas(name, namespace="wxmint"):
    """Where each of them is."""
    return [address(each) for each in pods(name, namespace)]


def service(name, namespace="wxmint"):
    """A Service's address."""
    return get(f"service/{name}", namespace=namespace)["spec"]["clusterIP"]


def rolled_out(name="wxmint", namespace="wxmint"):
    """Waits until a Deployment is what it shall be, and its old pods are gone."""
    kubectl("rollout", "status", f"deployment/{name}", f"--timeout={PATIENCE}s", namespace=namespace)
    wanted = get(f"deployment/{name}", namespace=namespace)["spec"]["replicas"]
    selector = f"--selector=app.kubernetes.io/name={name}"
    until("the old pods are gone", lambda: len(get("pods", selector, namespace=namespace)["items"]) == wanted)


def started(namespace, name):
    """What changes when a pod is made anew, or a container in it starts again."""
    return sorted((pod["metadata"]["uid"], [each["restartCount"] for each in pod["status"]["containerStatuses"]]) for pod in pods(name, namespace))


def secret(name, namespace="wxmint", **fields):
    """Makes a Secret, or changes it."""
    literals = [f"--from-literal={field.replace('__', '.').replace('_', '-')}={value}" for field, value in fields.items()]
    made = kubectl("create", "secret", "generic", name, *literals, "--dry-run=client", "--output=json", namespace=namespace)
    kubectl("apply", "--filename=-", namespace=namespace, input=made)


def call(method, url, body=None, headers=None, to=None, source=None):
    """An answer's status, headers and content, as JSON if it is; status 0 if there is none. A body that is a text is a form. `to` is where the host
    is. The values of a header that comes again are lines."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    if scheme == "https":  # nobody checks the certificate, which is the test's own
        connection = http.client.HTTPSConnection(to or host, timeout=20, context=ssl._create_unverified_context())
    else:
        connection = http.client.HTTPConnection(to or host, timeout=20)
    connection.source_address = source and (source, 0)
    content = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded" if isinstance(body, str) else "application/json"}
    try:
        connection.request(method, "/" + path, body if body is None or isinstance(body, str) else json.dumps(body), {"Host": host, **content, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read().decode()
        is_json = "json" in (answer.headers["Content-Type"] or "")
        values = {name.title(): "\n".join(answer.headers.get_all(name)) for name in answer.headers}
        return answer.status, values, json.loads(text) if is_json and text else text
    except OSError as error:
        return 0, {}, str(error)
    finally:
        connection.close()


def bearer(token):
    """The header that shows it."""
    return {"Authorization": f"Bearer {token}"}


def network_of(pod):
    """The name of a pod's network namespace."""
    for name in (line.split()[0] for line in run("ip", "netns", "list").splitlines()):
        if f" {address(pod)}/" in run("ip", "-n", name, "addr"):
            return name
    raise AssertionError(f"no network has {address(pod)}")


def elsewhere(network, function, *arguments):
    """What a function of this module returns where another network is."""
    code = f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import asked; " \
           f"print(json.dumps(asked.{function}(*json.loads(sys.argv[1]))))"
    return json.loads(run("ip", "netns", "exec", network, sys.executable, "-c", code, json.dumps(arguments)))


def connects(host, port):
    """Whether somebody listens there and may be reached."""
    try:
        http.client.HTTPConnection(host, port, timeout=2).connect()
    except OSError:
        return False
    return True


def metric(at, name, **labels):
    """The sum of a metric's values at an admin listener, where it has these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = [line for line in call("GET", f"http://{at}:9090/metrics")[2].splitlines() if line.partition("{")[0].partition(" ")[0] == name]
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(each in line for each in wanted))


def key_ids(namespace="wxmint"):
    """The key ids in the Secret."""
    keys = json.loads(base64.b64decode(get("secret/wxmint-keys", namespace=namespace)["data"]["keys.json"]))
    return [key["kid"] for key in keys["keys"]]


@cache
def namespaced():
    """The namespace wxmint, as the repository has it."""
    if not succeeds("kubectl", "get", "namespace/wxmint"):
        run("kubectl", "apply", "--filename", ROOT / "k8s/namespace.yaml")


def new_keys():
    """A Secret with one key."""
    namespaced()
    kubectl("delete", "secret", "wxmint-keys", "--ignore-not-found")
    run(PROGRAM, "keys", "generate", "--secret=wxmint/wxmint-keys")


def seconds_until(holds, at_most):
    """How long it takes until a condition holds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < at_most, f"not within {at_most} s"
        time.sleep(0.1)
    return time.monotonic() - began

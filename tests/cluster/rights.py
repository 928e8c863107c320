"""What the rotation may do, and how its writes end when others write too. Nothing here needs a node."""

import itertools
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from asked import KEYS, PROGRAM, SECRETS, ask, get, key_ids, kubectl, new_keys, run
from cluster import API, kubeconfig

ROTATOR = "wxmint-keys-rotate"
OWN = {("secrets", "wxmint-keys"), ("configmaps", "wxmint-jwks")}
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind", "escalate")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubject"


def token():
    """Of the rotation's service account."""
    return kubectl("create", "token", ROTATOR).strip()


def rotate(config, *options):
    """`wxmint keys rotate` on the Secret, as the Job's container runs it."""
    words = [PROGRAM, "keys", "rotate", "--secret=wxmint/wxmint-keys", "--publish-configmap=wxmint/wxmint-jwks", *options]
    return subprocess.Popen(words, env={"KUBECONFIG": str(config)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def the_rotation_has_the_rights_that_it_uses_and_no_other():
    """By what the API server says of them, one by one."""
    mine = token()
    status, said = ask(mine, "POST", REVIEWS + "rulesreviews", {"spec": {"namespace": "wxmint"}})
    rights = {(resource, name, verb) for rule in said["status"]["resourceRules"] for resource in rule["resources"]
              for name in rule.get("resourceNames", ["*"]) for verb in rule["verbs"] if not resource.startswith("selfsubject")}
    assert status == 201 and rights == {(*thing, verb) for thing in OWN for verb in ("get", "update")}, rights
    resources = [name.partition(".") for name in run("kubectl", "api-resources", "--output=name").split()]
    asked = 0
    for (resource, _, group), name, verb in itertools.product(resources, ("", "wxmint-keys", "wxmint-jwks"), VERBS):
        if resource.startswith("selfsubject") or name and resource not in ("secrets", "configmaps") or (resource, name, verb) in rights:
            continue
        wanted = {"namespace": "wxmint", "verb": verb, "group": group, "resource": resource, "name": name}
        answer = ask(mine, "POST", REVIEWS + "accessreviews", {"spec": {"resourceAttributes": wanted}})[1]
        assert answer["status"]["allowed"] is False, answer
        asked += 1
    return f"{asked} other rights are denied"


def the_rotation_reads_and_writes_its_secret_and_no_other():
    """By what the API server does."""
    new_keys()
    mine, own = token(), get("secret/wxmint-keys")
    kubectl("create", "secret", "generic", "other", "--from-literal=a=b")
    assert ask(mine, "GET", KEYS)[0] == 200 and ask(mine, "PUT", KEYS, own)[0] == 200
    others = (SECRETS + "/other", "/api/v1/namespaces/kube-system/secrets/any")
    tried = [*itertools.product(("GET", "PUT", "PATCH", "DELETE"), others), *itertools.product(("PATCH", "DELETE"), [KEYS])]
    tried += [*itertools.product(("GET", "POST", "DELETE"), [SECRETS]), ("GET", SECRETS + "?watch=1")]
    for method, path in tried:
        status = ask(mine, method, path, None if method == "GET" else own)[0]
        assert status == 403, (method, path, status)


def two_rotations_at_once_change_the_secret_once():
    """And the public set with it."""
    config = kubeconfig("rotation", token())
    for _ in range(5):
        new_keys()
        before = key_ids()[0]
        two = [rotate(config, "--now") for _ in range(2)]
        said = [process.communicate()[0] for process in two]
        assert [process.returncode for process in two] == [0, 0], said
        assert sorted("published a new" in text for text in said) == [False, True], said
        secret, public = key_ids()
        assert len(secret) == 2 and secret[0] == before[0] and sorted(public) == sorted(secret), (before, secret, public)


def a_conflicting_write_is_repeated():
    """Somebody changes the Secret between the rotation's read and its write."""
    mine, written = token(), []

    class Between(BaseHTTPRequestHandler):
        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            ours = self.command == "PUT" and self.path.startswith(KEYS)
            if ours and not written:
                kubectl("annotate", "secret/wxmint-keys", "somebody=else")
            status, answer = ask(mine, self.command, self.path, json.loads(body) if body else None)
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
    assert process.returncode == 0 and written == [409, 200] and len(key_ids()[0]) == 2, (said, written)
    assert get("secret/wxmint-keys")["metadata"]["annotations"]["somebody"] == "else"

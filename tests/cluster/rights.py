"""What the rotation may do, and how its writes end when others write too. Nothing here needs a node."""

import itertools
import json
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from asked import KEYS, PROGRAM, SECRETS, ask, get, key_ids, kubectl, new_keys, run
from chart import released
from cluster import API, kubeconfig

ROTATOR = "wxmint-keys-rotate"
ROTATE_NOW = (PROGRAM, "keys", "rotate", "--secret=wxmint/wxmint-keys", "--now")
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind", "escalate")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubject"


def token():
    """Of the rotation's service account."""
    released()
    return kubectl("create", "token", ROTATOR).strip()


def rotate(config):
    """`wxmint keys rotate --now` on the Secret, as the Job's container runs it."""
    return subprocess.Popen(ROTATE_NOW, env={"KUBECONFIG": str(config)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def the_rotation_has_the_rights_that_it_uses_and_no_other():
    """By what the API server says of them, one by one."""
    mine = token()
    status, said = ask(mine, "POST", REVIEWS + "rulesreviews", {"spec": {"namespace": "wxmint"}})
    rights = {(resource, name, verb) for rule in said["status"]["resourceRules"] for resource in rule["resources"]
              for name in rule.get("resourceNames", ["*"]) for verb in rule["verbs"] if not resource.startswith("selfsubject")}
    assert status == 201 and rights == {("secrets", "wxmint-keys", verb) for verb in ("get", "update")}, rights
    resources = [name.partition(".") for name in run("kubectl", "api-resources", "--output=name").split()]
    asked = 0
    for (resource, _, group), name, verb in itertools.product(resources, ("", "wxmint-keys"), VERBS):
        if resource.startswith("selfsubject") or name and resource != "secrets" or (resource, name, verb) in rights:
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
    """And both succeed."""
    config = kubeconfig("rotation", token())
    for _ in range(5):
        new_keys()
        before = key_ids()
        two = [rotate(config) for _ in range(2)]
        said = [process.communicate()[0] for process in two]
        assert [process.returncode for process in two] == [0, 0], said
        assert sorted("published a new" in text for text in said) == [False, True], said
        after = key_ids()
        assert len(after) == 2 and after[0] == before[0], (before, after)


@contextmanager
def between(act):
    """A kubeconfig of the rotation, whose writes of the Secret wait until `act` has been called with their number; and the
    answers to them."""
    mine, written = token(), []

    class Between(BaseHTTPRequestHandler):
        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command != "GET":
                act(len(written))
            status, answer = ask(mine, self.command, self.path, json.loads(body) if body else None)
            written.extend([status] if self.command != "GET" else [])
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_PUT = do_POST = forward  # noqa: N815
        def log_message(self, *_): pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Between) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = kubeconfig("between", "none")
        config.write_text(config.read_text().replace(API, f"http://127.0.0.1:{server.server_port}"))
        yield config, written
        server.shutdown()


def somebody_else_writes(number):
    """The Secret has changed since it was read."""
    kubectl("annotate", "--overwrite", "secret/wxmint-keys", f"somebody=else-{number}")


def a_conflicting_write_is_repeated_with_what_was_decided_anew():
    """Somebody changes the Secret between the rotation's read and its write: once, and each time."""
    for times, written, code, length in ((1, [409, 200], 0, 2), (9, [409] * 5, 1, 1)):
        new_keys()
        with between(lambda number, times=times: number < times and somebody_else_writes(number)) as (config, answers):
            process = rotate(config)
            said = process.communicate()[0]
        assert (process.returncode, answers, len(key_ids())) == (code, written, length), (said, answers)
        assert code == 0 or "somebody else changed it 5 times" in said, said
        assert get("secret/wxmint-keys")["metadata"]["annotations"]["somebody"].startswith("else-")
    # A quick rotation is done before a slow one has written: the slow one finds that nothing is left to do.
    new_keys()
    with between(lambda _: run(*ROTATE_NOW)) as (config, answers):
        said = rotate(config).communicate()[0]
    assert answers == [409] and "nothing to do" in said and len(key_ids()) == 2, (said, answers)

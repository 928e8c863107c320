"""Services without a secret, by tokens of the API server's own. Nothing here needs a node: wxmint runs beside the API server."""

import subprocess
from contextlib import contextmanager

from asked import PROGRAM, ask, bearer, call, kubectl, run, until
from cluster import API, RUN, succeeds

KUBERNETES, ISSUER = "https://kubernetes.default.svc", "https://login.example.com"
ORDERS = "system:serviceaccount:shop:orders"
FOLDER = RUN / "identity"
AHEAD = {"LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "FAKETIME": "+2h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def token(account, namespace="shop", audience=f"{ISSUER}/admin", life="1h"):
    """Of a ServiceAccount, as the kubelet projects it into a pod."""
    return kubectl("create", "token", account, f"--audience={audience}", f"--duration={life}", namespace=namespace).strip()


@contextmanager
def serve(port, **environment):
    """wxmint with an admin listener at this port."""
    settings = {
        "ISSUER": ISSUER, "APPID": "wxc0ffee0000000001", "APP_SECRET": "5ec2e700c0ffee005ec2e700c0ffee00", "REDIS_URL": "memory:",
        "KEYS": FOLDER / "keys.json", "VAULT_KEY_FILE": FOLDER / "vault.key", "ADMIN_TOKENS_FILE": FOLDER / "admin.tokens",
        "LISTEN": f"127.0.0.1:{port + 1}", "ADMIN_LISTEN": f"127.0.0.1:{port}",
    }
    settings = {f"WXMINT_{name}": str(value) for name, value in settings.items()}
    with (RUN / f"identity-{port}.log").open("w") as log, subprocess.Popen([PROGRAM, "serve"], env={**settings, **environment}, stderr=log) as process:
        try:
            yield lambda shown: call("GET", f"http://127.0.0.1:{port}/whoami", headers=bearer(shown))[0]
        finally:
            process.terminate()


def is_known(shown):
    """Whether the API server itself would take the token."""
    asked = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": shown, "audiences": [f"{ISSUER}/admin"]}}
    return ask("admin", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", asked)[1]["status"].get("authenticated", False)


def a_service_account_opens_the_admin_listener_until_its_token_expires_and_no_other_does():
    """Also after the account was deleted, which no offline check sees. Without its line, it ends at once."""
    for namespace in ("shop", "other"):
        kubectl("create", "namespace", namespace)
        kubectl("create", "serviceaccount", "orders", namespace=namespace)
    until("the namespace has an account", lambda: succeeds("kubectl", "get", "serviceaccount/default", "--namespace=shop"))
    FOLDER.mkdir()
    for private in ("vault.key", "admin.tokens"):
        (FOLDER / private).touch(0o600)
    run(PROGRAM, "keys", "generate", "--keys", FOLDER / "keys.json")
    (FOLDER / "vault.key").write_text(run("openssl", "rand", "-base64", "32"))
    (FOLDER / "pod-token").write_text(token("default", audience=KUBERNETES))
    keys = f"jwks={API}/openid/v1/jwks ca={RUN}/pki/apiserver.crt token={FOLDER}/pod-token"
    (FOLDER / "admin.tokens").write_text(f"orders issuer={KUBERNETES} subject={ORDERS} {keys} read\n")
    mine = token("orders")
    with serve(9090) as answers, serve(9190, **AHEAD) as answers_later:
        until("the keys are had", lambda: answers(mine) == 200)
        others = {
            "of another namespace": token("orders", "other"), "of another account": token("default"),
            "for another audience": token("orders", audience=KUBERNETES), "for two days": token("orders", life="48h"),
        }
        for what, other in others.items():
            assert answers(other) == 401, what
        until("the keys are had two hours later", lambda: answers_later(token("orders", life="3h")) == 200)
        assert answers_later(mine) == 401, "an expired one"
        assert is_known(mine)
        kubectl("delete", "serviceaccount", "orders", namespace="shop")
        until("the API server refuses it", lambda: not is_known(mine))
        assert answers(mine) == 200, "until it expires"
        (FOLDER / "admin.tokens").write_text("# nobody\n")
        until("the line is gone", lambda: answers(mine) == 401)

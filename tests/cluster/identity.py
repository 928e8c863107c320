"""Services without a secret, by tokens of the API server's own."""

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path

from asked import PROGRAM, ask, bearer, call, elsewhere, get, kubectl, network_of, replicas, rolled_out, run, secret, until
from cluster import API, NODE, RUN, apply, succeeds
from rollout import processes_of
from world import HERE, SECOND_APPID, container, install, issuer, namespace, pod, runs

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
    """Also after the account was deleted, which no offline check sees. Without its line, it ends at once. It needs no node: wxmint runs beside the
    API server."""
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


def payment(where, account, audience):
    """A service's pod with the token of its account for this audience, as k8s/README says; its network and the token."""
    projected = {"sources": [{"serviceAccountToken": {"path": "token", "audience": audience, "expirationSeconds": 3600}}]}
    idle = container("idle", "redis-server", "--port", "8443", "--save", "", volumeMounts=[{"name": "wxmint", "mountPath": "/var/run/wxmint"}])
    kubectl("create", "serviceaccount", account, namespace=where)
    labels = {"wxmint/looks-up-openids": "true"}
    apply(where, pod(account, idle, labels=labels, volumes=[{"name": "wxmint", "projected": projected}], serviceAccountName=account))
    runs(where, account)
    made = get(f"pod/{account}", namespace=where)
    return network_of(made), Path(f"/proc/{processes_of(made)[0]}/root/var/run/wxmint/token").read_text()


def a_pods_own_token_opens_the_admin_listener():
    """As k8s/README says: wxmint gets the cluster's keys by its own pod's token, and a service's pod shows its own."""
    where, shop = "tokens", "payments"
    issuer(where, SECOND_APPID)
    cluster = json.loads(kubectl("get", "--raw", "/.well-known/openid-configuration"))["issuer"]
    namespace(shop, looks_up_openids="allowed")
    network, token_of_payment = payment(shop, "payment", f"{ISSUER}/admin")
    _, of_another_account = payment(shop, "another", f"{ISSUER}/admin")
    _, for_another_audience = payment(shop, "elsewhere", ISSUER)
    keys = "jwks=https://kubernetes.default.svc/openid/v1/jwks ca=/var/run/cluster/ca.crt token=/var/run/cluster/token"
    line = f"payment issuer={cluster} subject=system:serviceaccount:{shop}:payment {keys} read,wechat\n"
    secret("wxmint-admin-tokens", where, admin__tokens=line)
    own = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
           {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]
    api = {"to": [{"ipBlock": {"cidr": f"{NODE}/32"}}], "ports": [{"port": 443}, {"port": 6443}]}
    install(where, "wxmint", {
        "appid": SECOND_APPID,
        "extraVolumes": [*HERE["extraVolumes"], {"name": "cluster", "projected": {"sources": own}}],
        "extraVolumeMounts": [*HERE["extraVolumeMounts"], {"name": "cluster", "mountPath": "/var/run/cluster", "readOnly": True}],
        "networkPolicy": {**HERE["networkPolicy"], "extraEgress": [*HERE["networkPolicy"]["extraEgress"], api]},
    })
    rolled_out("wxmint", where)
    for at in replicas("wxmint", where):
        answer = lambda shown, at=at: elsewhere(network, "call", "GET", f"http://{at}:9090/whoami", None, bearer(shown))[::2]
        until("the keys are had", lambda answer=answer: answer(token_of_payment)[0] == 200)
        assert answer(token_of_payment)[1]["name"] == "payment", answer(token_of_payment)
        assert answer(of_another_account)[0] == 401, "of another account"
        assert answer(for_another_audience)[0] == 401, "for another audience"

"""`wxmint doctor` in a pod finds what is wrong with the manifests."""

import json
import subprocess

from asked import get, kubectl, secret
from cluster import apply, until
from world import APP_SECRET, SECOND_APPID, config, container, front, install, issuer, namespace, pod, runs, wechat

NOWHERE = {"networkPolicy": {"extraEgress": []}}
# Release: what is wrong with its values or its settings, and the check that must say so, with a part of what it says.
MISTAKES = {
    "evicts": ({"secrets": {"redis": {"name": "evicting"}}}, {}, ("redis.eviction", "fault", "allkeys-lru")),
    "secret": ({"secrets": {"app": {"name": "wrong"}}}, {}, ("wechat.credentials", "fault", "40125")),
    "closed": (NOWHERE, {}, ("wechat.reach", "fault", "")),
    "trusts": ({}, {"WXMINT_TRUSTED_PROXIES": "0.0.0.0/0"}, ("proxies", "warning", "trusts every address")),
    "misspelt": ({}, {"WXMINT_TOKEN_TLL": "1h"}, ("settings", "warning", "WXMINT_TOKEN_TLL")),
    "lost": ({"secrets": {"redis": {"name": "nowhere"}}}, {}, ("redis.reach", "fault", "")),
}


def examined(where, name):
    """What the doctor finds in a release's pod, as (check, status, words)."""
    command = ["kubectl", f"--namespace={where}", "exec", f"deployment/{name}", "--", "/wxmint", "doctor", "--json"]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    assert done.stdout.startswith("{"), done.stderr
    return [(each["name"], each["status"], each["found"]) for each in json.loads(done.stdout)["checks"]]


def says(found, name, status, words):
    """Whether one of the findings is this."""
    return any((each[0], each[1]) == (name, status) and words in each[2] for each in found)


def made(where):
    """What the releases share, right and wrong."""
    namespace(where)
    servers = {"redis": "noeviction", "evicting": "allkeys-lru"}
    for name, policy in servers.items():
        server = container("redis", "redis-server", "--save", "", "--protected-mode", "no", "--maxmemory", "64mb", "--maxmemory-policy", policy)
        apply(where, pod(name, server, labels={"app.kubernetes.io/name": "redis", "redis": name}), front(name, 6379, selector={"redis": name}))
    apply(where, config("wechat", ca__crt=wechat()[1]))
    for each in get("secrets", namespace="wxmint")["items"]:
        if each["metadata"]["name"] in ("wxmint-keys", "wxmint-vault", "wxmint-admin-tokens"):
            each["metadata"] = {"name": each["metadata"]["name"]}
            kubectl("create", "--filename=-", namespace=where, input=json.dumps(each))
    secret("wxmint-app", where, secret=APP_SECRET)
    secret("wxmint-redis", where, url="redis://redis:6379")
    secret("wrong", where, secret="0123456789abcdef0123456789abcdef")
    secret("evicting", where, url="redis://evicting:6379")
    secret("nowhere", where, url="redis://rediss.nowhere:6379")
    runs(where, *servers)


def the_doctor_finds_each_mistake_of_the_manifests():
    """And none of them where there is none."""
    issuer()
    made("mistaken")
    common = {name: {"name": f"wxmint-{end}"} for name, end in
              {"keys": "keys", "vault": "vault", "app": "app", "redis": "redis", "adminTokens": "admin-tokens"}.items()}
    for name, (values, settings, _) in {"good": ({}, {}, None), **MISTAKES}.items():
        whole = {"appid": SECOND_APPID, "replicaCount": 1, "fullnameOverride": name, "rotation": {"enabled": False}, **values,
                 "secrets": {**common, **values.get("secrets", {})}}
        install("mistaken", name, whole, **settings)
    rolled_out_good()
    good = examined("mistaken", "good")
    for name, (_, _, expected) in MISTAKES.items():
        until(f"{name} runs", lambda name=name: running(name))
        found = examined("mistaken", name)
        assert says(found, *expected) and not says(good, *expected), (name, expected, found)
    kubectl("delete", "namespace", "mistaken", "--wait=false")
    return f"{len(MISTAKES)} mistakes"


def running(name):
    """Whether a release's container runs, ready or not."""
    found = get("pods", f"--selector=app.kubernetes.io/instance={name}", namespace="mistaken")["items"]
    return any("running" in each["state"] for pod in found for each in pod["status"].get("containerStatuses", []))


def rolled_out_good():
    """The release without a mistake gets ready."""
    kubectl("rollout", "status", "deployment/good", "--timeout=180s", namespace="mistaken")

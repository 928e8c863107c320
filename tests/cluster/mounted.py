"""Secrets that are mounted: what changes in them is taken, and one that vanishes ends nothing."""

import json

from asked import bearer, call, get, kubectl, metric, replicas, run, secret, started, service
from cluster import until
from world import APP_SECRET, APPID, OPERATOR, codes, issuer, log_in, wechat

ANOTHER = "0ther5ec2e700c0ffee0f5ec2e700c0f"
MOUNTED = ("wxmint-app", "wxmint-vault", "wxmint-redis", "wxmint-keys", "wxmint-admin-tokens")


def reloads(what):
    """How often each replica has taken a changed file, and whether it refuses one."""
    return [metric(at, "wxmint_reloads_total", what=what, outcome="ok") for at in replicas("wxmint", "wxmint")]


def taken(what, change):
    """Changes a Secret and waits for each replica."""
    before = reloads(what)
    change()
    until(f"each replica has the new {what}", lambda: all(now > old for now, old in zip(reloads(what), before, strict=True)))


def logins(login):
    """The answers of some logins, over all replicas."""
    return {call("POST", f"http://{at}:8080/login", {"code": code, "appid": APPID}, {"X-Forwarded-For": f"198.18.0.{number}"})[0]
            for at in replicas("wxmint", "wxmint") for number, code in enumerate(codes(3))}


def changed_secrets_are_taken_without_a_restart():
    """AppSecret, operators, the vault and the address of Redis."""
    login = issuer()
    before, operators = started("wxmint", "wxmint"), f"http://{service('wxmint-admin')}:9090/users/nobody"
    simulator = f"{wechat()[0]}/apps"
    call("POST", simulator, {"appid": APPID, "secret": ANOTHER, "drop_old_secrets": True})
    assert logins(login) == {502}
    secret("wxmint-app", secret=ANOTHER)
    until("logins have the new AppSecret", lambda: logins(login) == {200})
    call("POST", simulator, {"appid": APPID, "secret": APP_SECRET, "drop_old_secrets": True})
    secret("wxmint-app", secret=APP_SECRET)
    until("logins have the old AppSecret", lambda: logins(login) == {200})

    taken("admin_tokens", lambda: secret("wxmint-admin-tokens", admin__tokens="other fedcba9876543210fedcba9876543210 read\n"))
    assert call("GET", operators, headers=OPERATOR)[0] == 401
    assert call("GET", operators, headers=bearer("fedcba9876543210fedcba9876543210"))[0] == 200
    mine = f"tests {OPERATOR['Authorization'].split()[1]} read,operate,wechat\n"
    taken("admin_tokens", lambda: secret("wxmint-admin-tokens", admin__tokens=mine))
    taken("vault", lambda: secret("wxmint-vault", vault__key=run("openssl", "rand", "-base64", "32")))
    taken("redis_url", lambda: secret("wxmint-redis", url="redis://redis.wxmint.svc.cluster.local:6379"))
    assert logins(login) == {200} and started("wxmint", "wxmint") == before


def not_mounted():
    """The Secrets that the kubelet misses, as the pods' events say."""
    events = json.dumps(get("events", "--field-selector=reason=FailedMount"))
    return {name for name in MOUNTED if f'\\"{name}\\" not found' in events}


def vanished_secrets_end_nothing():
    """The pods keep what they have, also when the kubelet has noticed; new pods wait for the Secrets."""
    login = issuer()
    before, kept = started("wxmint", "wxmint"), [get(f"secret/{name}") for name in MOUNTED]
    kubectl("delete", "events", "--all")
    kubectl("delete", "secret", *MOUNTED)
    try:
        until("the kubelet misses a Secret", not_mounted)
        assert logins(login) == {200} and started("wxmint", "wxmint") == before
        assert call("GET", f"http://{service('wxmint-admin')}:9090/users/nobody", headers=OPERATOR)[0] == 200
    finally:
        for each in kept:
            each["metadata"] = {"name": each["metadata"]["name"]}
            kubectl("create", "--filename=-", input=json.dumps(each))
    log_in(login)
    assert started("wxmint", "wxmint") == before

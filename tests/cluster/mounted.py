"""Secrets that are mounted: what changes in them is taken, and one that vanishes ends nothing."""

import json
import operator
import os
import signal

from asked import bearer, call, get, kubectl, metric, pods, ready, replicas, rolled_out, run, secret, started, service
from cluster import until
from rollout import processes_of
from world import APP_SECRET, APPID, OPERATOR, SECRET, issuer, login, wechat

ANOTHER, OTHER = "0ther5ec2e700c0ffee0f5ec2e700c0f", "fedcba9876543210fedcba9876543210"
MOUNTED = ("wxmint-app", "wxmint-vault", "wxmint-redis", "wxmint-keys", "wxmint-admin-tokens")


def reloads(what):
    """How often each replica has taken a changed file, and whether it refuses one."""
    return [metric(at, "wxmint_reloads_total", what=what, outcome="ok") for at in replicas("wxmint")]


def taken(**changes):
    """Changes Secrets and waits for each replica."""
    before = {what: reloads(what) for what in changes}
    for name, fields in changes.values():
        secret(name, **fields)
    for what, old in before.items():
        until(f"each replica has the new {what}", lambda what=what, old=old: all(map(operator.gt, reloads(what), old)))


def logins():
    """The answers of a login at each replica."""
    return {login(f"http://{at}:8080")[0] for at in replicas("wxmint")}


def changed_secrets_are_taken_without_a_restart():
    """AppSecret, operators, the vault and the address of Redis."""
    issuer()
    before, operators = started("wxmint", "wxmint"), f"http://{service('wxmint-admin')}:9090/users/nobody"
    simulator = f"{wechat()[0]}/apps"
    call("POST", simulator, {"appid": APPID, "secret": ANOTHER, "drop_old_secrets": True})
    assert logins() == {502}
    secret("wxmint-app", secret=ANOTHER)
    until("logins have the new AppSecret", lambda: logins() == {200})
    call("POST", simulator, {"appid": APPID, "secret": APP_SECRET, "drop_old_secrets": True})
    secret("wxmint-app", secret=APP_SECRET)
    until("logins have the old AppSecret", lambda: logins() == {200})

    taken(admin_tokens=("wxmint-admin-tokens", {"admin__tokens": f"other {OTHER} read\n"}),
          vault=("wxmint-vault", {"vault__key": run("openssl", "rand", "-base64", "32")}),
          redis_url=("wxmint-redis", {"url": "redis://redis.wxmint.svc.cluster.local:6379"}))
    assert call("GET", operators, headers=OPERATOR)[0] == 401
    assert call("GET", operators, headers=bearer(OTHER))[0] == 200
    taken(admin_tokens=("wxmint-admin-tokens", {"admin__tokens": f"tests {SECRET} read,operate,wechat\n"}))
    assert logins() == {200}
    assert started("wxmint", "wxmint") == before, (before, started("wxmint", "wxmint"))


def not_mounted():
    """The Secrets that the kubelet misses, as the pods' events say."""
    events = json.dumps(get("events", "--field-selector=reason=FailedMount"))
    return {name for name in MOUNTED if f'\\"{name}\\" not found' in events}


def vanished_secrets_end_nothing():
    """The pods keep what they have, also when the kubelet has noticed; new pods wait for the Secrets."""
    issuer()
    before, kept = started("wxmint", "wxmint"), [get(f"secret/{name}") for name in MOUNTED]
    kubectl("delete", "events", "--all")
    kubectl("delete", "secret", *MOUNTED)
    try:
        until("the kubelet misses a Secret", not_mounted)
        assert logins() == {200}
        assert started("wxmint", "wxmint") == before, (before, started("wxmint", "wxmint"))
        assert call("GET", f"http://{service('wxmint-admin')}:9090/users/nobody", headers=OPERATOR)[0] == 200
        kubectl("scale", "deployment/wxmint", "--replicas=3")
        until("a new pod waits", lambda: len(pods("wxmint")) == 3 and "ContainerCreating" in json.dumps([pod["status"] for pod in pods("wxmint")]))
        until("the kubelet misses its Secrets", lambda: sum(map(ready, pods("wxmint"))) == 2 and not_mounted())
        login_at_service = {login(f"http://{service('wxmint')}")[0] for _ in range(10)}
        assert login_at_service == {200}, "the pod that waits gets no request"
    finally:
        for each in kept:
            each["metadata"] = {"name": each["metadata"]["name"]}
            kubectl("create", "--filename=-", input=json.dumps(each))
    until("the new pod has the Secrets", lambda: sum(map(ready, pods("wxmint"))) == 3)
    assert logins() == {200}
    assert all(each in started("wxmint", "wxmint") for each in before)
    kubectl("scale", "deployment/wxmint", "--replicas=2")
    rolled_out()
    assert logins() == {200}


def a_redis_that_is_away_and_one_that_is_empty_end_no_pod():
    """While it says nothing, logins are told to wait and the keys are served. When it is killed and comes back empty, logins go on by themselves."""
    issuer()
    server, before = processes_of(get("pod/redis")), started("wxmint", "wxmint")
    restarts = lambda: get("pod/redis")["status"]["containerStatuses"][0]["restartCount"]
    was = restarts()
    for process in server:
        os.kill(process, signal.SIGSTOP)
    try:
        until("logins are told to wait", lambda: logins() == {503})
        status, headers, answer = login(f"http://{replicas('wxmint')[0]}:8080")
        assert (status, answer["code"]) == (503, "store_unavailable") and int(headers["Retry-After"]) > 0, (status, headers, answer)
        assert {call("GET", f"http://{at}:8080/.well-known/jwks.json")[0] for at in replicas("wxmint")} == {200}
    finally:
        for process in server:
            os.kill(process, signal.SIGCONT)
    until("logins go on", lambda: logins() == {200})
    for process in server:
        os.kill(process, signal.SIGKILL)
    until("Redis has started again", lambda: restarts() > was)
    until("logins go on with an empty Redis", lambda: logins() == {200})
    assert started("wxmint", "wxmint") == before, (before, started("wxmint", "wxmint"))

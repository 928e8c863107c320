"""Three rotations by the chart's own Job, with shortened periods, under logins and verification."""

import base64
import json
import random
import threading
import time

from asked import call, get, key_ids, kubectl, metric, replicas, seconds_until, started
from cluster import PATIENCE, apply, until
from world import SECOND_APPID, issuer, log_in, opens, orders

LEAD, LIFE = 40, 60  # seconds: WXMINT_KEY_PREPUBLISH, and the shortest WXMINT_TOKEN_TTL
LINGERS = LIFE + 120  # for as long a key stays after it has signed
SERVICE = "orders-rotating"


class Verification:
    """Logs people in all the time, and has the sidecar judge their tokens for as long as they live."""

    def __init__(self, login, service):
        self.login, self.service, self.tokens, self.asked, self.refused, self.over = login, service, [], 0, [], threading.Event()
        self.kids, self.thread = set(), threading.Thread(target=self.go_on)

    def go_on(self):
        while not self.over.wait(0.3):
            token = log_in(self.login, SECOND_APPID)[0]
            self.kids.add(json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["kid"])
            self.tokens = [each for each in self.tokens if time.monotonic() - each[0] < LIFE - 2] + [(time.monotonic(), token)]
            for at, each in {self.tokens[-1], self.tokens[0], random.choice(self.tokens)}:
                status = opens(each, self.service)
                self.asked += 1
                self.refused += [] if status == 200 else [(status, time.monotonic() - at, each)]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def jobs(where, *names):
    """The CronJob's own Job with --now, as many at once as there are names."""
    template = get("cronjob/wxmint-keys-rotate", namespace=where)["spec"]["jobTemplate"]
    template["spec"]["template"]["spec"]["containers"][0]["args"] += ["--now"]
    made = [{**template, "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}} for name in names]
    apply(where, *made)
    kubectl("wait", *(f"job/{name}" for name in names), "--for=condition=Complete", f"--timeout={PATIENCE}s", namespace=where)


def signs_from(where, kid):
    """When a key of the Secret first signs."""
    keys = json.loads(base64.b64decode(get("secret/wxmint-keys", namespace=where)["data"]["keys.json"]))["keys"]
    return next(key["nbf"] for key in keys if key["kid"] == kid)


def published(at):
    """The key ids that a replica publishes."""
    return {key["kid"] for key in call("GET", f"http://{at}:8080/.well-known/jwks.json")[2]["keys"]}


def rotate(where, number, load):
    """One rotation, by two Jobs at once, until the new key has signed; the seconds between all having it and its first signature."""
    before = set(key_ids(where))
    jobs(where, f"rotate-{number}", f"rotate-{number}-too")
    (kid,) = set(key_ids(where)) - before
    until("all replicas publish it", lambda: all(kid in published(at) for at in replicas("wxmint", where)))
    keys = len(published(replicas("wxmint", where)[0]))
    until("all sidecars have it", lambda: all(metric(at, "wxmint_jwks_keys") == keys for at in replicas("orders", SERVICE)))
    early = signs_from(where, kid) - time.time()
    assert early > 0 and kid not in load.kids, f"{kid} signs since {-early:.0f} s"
    until("it signs", lambda: kid in load.kids)
    return early


def three_rotations_refuse_no_token_and_restart_nothing():
    """All replicas and sidecars have each key before it signs, two Jobs at once make one, and the first key leaves."""
    login = issuer("rotating", SECOND_APPID, WXMINT_KEY_PREPUBLISH=f"{LEAD}s", WXMINT_TOKEN_TTL=f"{LIFE}s")
    service, first = orders(SERVICE, "rotating"), key_ids("rotating")[0]
    before = started("rotating", "wxmint"), started(SERVICE, "orders")
    with Verification(login, service) as load:
        early = [rotate("rotating", number, load) for number in range(3)]
        assert not load.refused, load.refused
        seconds_until(lambda: not any(first in published(at) for at in replicas("wxmint", "rotating")), LINGERS)
    assert not load.refused, load.refused
    assert len(load.kids) == 4, load.kids
    assert before == (started("rotating", "wxmint"), started(SERVICE, "orders"))
    return f"{load.asked} verifications; all had the keys {', '.join(f'{each:.0f} s' for each in early)} before they signed"

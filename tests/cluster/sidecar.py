"""A service with the sidecar in its pod: what it lets through, and how soon it obeys a ban."""

import threading
import time

from asked import bearer, call, kubectl, replicas, rolled_out, seconds_until
from world import blocked, issuer, log_in, opens, orders

OBEYED = 10  # seconds, as docs/revocation.md says


class Knocking:
    """Asks with a token again and again on new connections, until it is left, and keeps the answers."""

    def __init__(self, url, token):
        self.url, self.token, self.answers, self.over = url, token, [], threading.Event()
        self.thread = threading.Thread(target=self.knock)

    def knock(self):
        while not self.over.wait(0.1):
            at = time.monotonic()
            self.answers.append((at, self.ask()))

    def ask(self):
        return call("GET", self.url, headers=bearer(self.token))[0]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def everywhere(token):
    """The answers of each replica of the service."""
    return {opens(token, f"http://{at}:8080/orders") for at in replicas("orders", "orders")}


def a_token_of_a_login_passes_and_others_do_not():
    """The service learns who it is, whatever the client says."""
    login, service = issuer(), orders()
    token, user = log_in(login)
    status, _, said = call("GET", service, headers={**bearer(token), "X-User-Id": "somebody-else"})
    assert status == 200 and said["user"] == user, (status, said)
    forged = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
    assert everywhere(token) == {200} and everywhere(forged) == {401}
    assert call("GET", service)[0] == 401


def a_ban_is_obeyed_within_ten_seconds():
    """By each replica of the service, and nobody else is banned."""
    login, service = issuer(), orders()
    (token, user), (other, _) = log_in(login), log_in(login)
    blocked(user)
    took = seconds_until(lambda: everywhere(token) == {401}, OBEYED)
    assert opens(other, service) == 200
    return f"obeyed after {took:.1f} s"


def both_hold_while_the_issuer_and_the_service_are_rolled():
    """New connections all the time: each good token passes, and who is banned meanwhile is out in time."""
    login, service = issuer(), orders()
    (good, _), (banned, user) = log_in(login), log_in(login)
    with Knocking(service, good) as of_good, Knocking(service, banned) as of_banned:
        kubectl("rollout", "restart", "deployment/wxmint")
        kubectl("rollout", "restart", "deployment/orders", namespace="orders")
        time.sleep(1)  # in the midst of it
        blocked(user)
        began = time.monotonic()
        rolled_out("wxmint")
        rolled_out("orders", "orders")
        seconds_until(lambda: time.monotonic() - began > OBEYED + 1, OBEYED + 2)
    assert {status for _, status in of_good.answers} == {200}, of_good.answers
    late = [at - began for at, status in of_banned.answers if status != 401 and at - began > 0]
    assert max(late, default=0) < OBEYED, late
    assert {status for _, status in of_banned.answers} <= {200, 401}, of_banned.answers
    return f"{len(of_good.answers)} requests passed; the last of the banned after {max(late, default=0):.1f} s"

"""Who reaches whom where the network policies are enforced, by connections from pods' own networks."""

import json

from asked import address, connects, elsewhere, get, kubectl, network_of, pods, replicas, rolled_out, service
from cluster import apply, until
from world import HERE, SECOND_APPID, container, front, install, issuer, log_in, namespace, orders, pod, runs

# Namespace: its labels, and those of the pod in it. They reach what REACHED says, and nothing else of the three.
NEIGHBOURS = {
    "neighbour": ({}, {}),
    "sends-logins": ({"sends_logins": "allowed"}, {}),
    "fetches-keys": ({"fetches_keys": "allowed"}, {"wxmint/fetches-keys": "true"}),
    "fetches-without-label": ({"fetches_keys": "allowed"}, {}),
    "looks-up": ({"looks_up_openids": "allowed"}, {"wxmint/looks-up-openids": "true"}),
    "looks-up-without-label": ({"looks_up_openids": "allowed"}, {}),
    "monitoring": ({}, {}),
}
REACHED = {"sends-logins": {"http"}, "fetches-keys": {"http"}, "looks-up": {"admin"}, "monitoring": {"admin", "sidecar"}}


def neighbours():
    """A pod in each namespace; by name."""
    for name, (labels, of_pod) in NEIGHBOURS.items():
        namespace(name, **labels)
        apply(name, pod("neighbour", container("pause", "/pause"), labels=of_pod))
    apply("wxmint", pod("neighbour", container("pause", "/pause")))
    for name in (*NEIGHBOURS, "wxmint"):
        runs(name, "neighbour")
    return {name: get("pod/neighbour", namespace=name) for name in (*NEIGHBOURS, "wxmint")}


def reached(network, places):
    """The names of those that somebody connects to."""
    return {name for name, place in places.items() if elsewhere(network, "connects", *place)}


def only_those_whom_a_policy_names_reach_wxmint_and_redis():
    """By address and port; Redis is open to wxmint alone, and nobody but the named reaches the admin listener, or a sidecar's. The port at which
    the kubelet asks a service's nginx is nobody's."""
    login, _ = issuer(), orders()
    replica, server, peer = pods("wxmint")[0], get("pod/redis"), replicas("orders", "orders")[0]
    places = {"http": (address(replica), 8080), "admin": (address(replica), 9090), "redis": (address(server), 6379), "sidecar": (peer, 9090),
              "readiness": (peer, 8081)}
    assert all(connects(*place) for place in places.values())  # from the node, which no policy keeps out
    who = neighbours()
    for name, neighbour in who.items():
        network = network_of(neighbour)
        until(f"{name} reaches {REACHED.get(name)}", lambda: reached(network, places) == REACHED.get(name, set()))
    assert reached(network_of(replica), places) >= {"redis"}
    log_in(login)
    return f"{len(who)} neighbours"


def wxmint_reaches_nothing_else():
    """Neither a neighbour, nor the API server."""
    issuer()
    namespace("neighbour")
    nginx = container("redis", "redis-server", "--port", "8443", "--save", "", "--protected-mode", "no")
    apply("neighbour", pod("listens", nginx), front("listens", 8443))
    runs("neighbour", "listens")
    places = {"neighbour": (address(get("pod/listens", namespace="neighbour")), 8443), "api": ("10.96.0.1", 443),
              "redis": (address(get("pod/redis")), 6379), "wechat": (service("simulator", "wechat"), 443)}
    assert all(connects(*place) for place in places.values())
    assert reached(network_of(pods("wxmint")[0]), places) == {"redis", "wechat"}


def by_default():
    """An issuer whose namespace denies nothing but what its own policies do; where its Service is."""
    login = issuer("defaults", SECOND_APPID)
    install("defaults", "wxmint", {"appid": SECOND_APPID, "networkPolicy": {"extraEgress": HERE["networkPolicy"]["extraEgress"]}})
    rolled_out("wxmint", "defaults")
    assert "wxmint-default-deny" not in names_of_policies("defaults")
    return login


def names_of_policies(where):
    """What denies something there."""
    return {each["metadata"]["name"] for each in get("networkpolicies", namespace=where)["items"]}


def listens():
    """Somebody whom no release may reach."""
    namespace("neighbour")
    apply("neighbour", pod("listens", container("redis", "redis-server", "--port", "8443", "--save", "", "--protected-mode", "no")))
    runs("neighbour", "listens")
    return address(get("pod/listens", namespace="neighbour")), 8443


def the_defaults_shut_wxmint_and_redis_too():
    """Redis of the namespace is open to wxmint alone, and the admin listener to monitoring, without defaultDeny."""
    login = by_default()
    who = neighbours()
    apply("defaults", pod("neighbour", container("pause", "/pause")))
    runs("defaults", "neighbour")
    who["defaults"] = get("pod/neighbour", namespace="defaults")
    replica = pods("wxmint", "defaults")[0]
    places = {"http": (address(replica), 8080), "admin": (address(replica), 9090), "redis": (address(get("pod/redis", namespace="defaults")), 6379)}
    for name, neighbour in who.items():
        network = network_of(neighbour)
        until(f"{name} reaches {REACHED.get(name)}", lambda: reached(network, places) == REACHED.get(name, set()) - {"sidecar"} - (
            {"admin"} if name == "looks-up" and "wxmint-admin-lookup" not in names_of_policies("defaults") else set()))
    assert reached(network_of(replica), {**places, "neighbour": listens()}) >= {"redis"}
    assert "neighbour" not in reached(network_of(replica), {"neighbour": listens()})
    log_in(login, SECOND_APPID)


def each_policy_is_missed_when_it_is_taken_away():
    """Once each: somebody reaches what they must not, or no longer reaches what they must, until it is there again."""
    issuer(), by_default(), orders()
    who, outer = neighbours(), listens()
    for where in ("defaults", "orders"):
        apply(where, pod("neighbour", container("pause", "/pause")))
    rotator = {"app.kubernetes.io/name": "wxmint-keys-rotate", "app.kubernetes.io/instance": "wxmint"}
    apply("defaults", pod("rotator", container("pause", "/pause"), labels=rotator))
    runs("defaults", "neighbour", "rotator")
    runs("orders", "neighbour")
    of = lambda name, where: network_of(get(f"pod/{name}", namespace=where))
    replica, free, peer = (pods(name, where)[0] for name, where in (("wxmint", "wxmint"), ("wxmint", "defaults"), ("orders", "orders")))
    redis = {where: (address(get("pod/redis", namespace=where)), 6379) for where in ("wxmint", "defaults")}
    # The policy, its namespace, from where, to where, and whether that is reached while the policy is there.
    taken = [
        ("wxmint", "wxmint", network_of(who["sends-logins"]), (address(replica), 8080), True),
        ("wxmint-admin-lookup", "wxmint", network_of(who["looks-up"]), (address(replica), 9090), True),
        ("wxmint-redis", "wxmint", network_of(replica), redis["wxmint"], True),
        ("wxmint-default-deny", "wxmint", network_of(who["wxmint"]), outer, False),
        # The policy of the admin listener selects the same pods, and lets nobody else in.
        ("wxmint", "defaults", network_of(who["sends-logins"]), (address(free), 8080), True),
        ("wxmint-redis", "defaults", of("neighbour", "defaults"), redis["defaults"], False),
        ("wxmint-keys-rotate", "defaults", of("rotator", "defaults"), outer, False),
        ("orders", "orders", of("neighbour", "orders"), (address(peer), 8080), True),
        ("orders-sidecar", "orders", network_of(peer), outer, False),
    ]
    for name, where, network, place, held in taken:
        is_reached = lambda network=network, place=place: elsewhere(network, "connects", *place)
        until(f"{where}/{name} holds", lambda held=held, is_reached=is_reached: is_reached() is held)
        kept = get(f"networkpolicy/{name}", namespace=where)
        kept["metadata"] = {part: kept["metadata"][part] for part in ("name", "labels", "annotations") if part in kept["metadata"]}
        kubectl("delete", f"networkpolicy/{name}", namespace=where)
        try:
            until(f"{where}/{name} is missed", lambda held=held, is_reached=is_reached: is_reached() is not held)
        finally:
            kubectl("create", "--filename=-", namespace=where, input=json.dumps(kept))
        until(f"{where}/{name} holds again", lambda held=held, is_reached=is_reached: is_reached() is held)
    left = {where: names_of_policies(where) - {name for name, there, *_ in taken if there == where} for where in ("wxmint", "orders")}
    assert left["orders"] == set() and left["wxmint"] <= {"wxmint-keys-rotate", "wxmint-test"}, left
    return f"{len(taken)} policies"

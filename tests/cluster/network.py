"""Who reaches whom where the network policies are enforced, by connections from pods' own networks."""

from asked import address, connects, elsewhere, get, network_of, pods, replicas, service
from cluster import apply, until
from world import container, front, issuer, log_in, namespace, orders, pod, runs

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

"""A service of another namespace, with no right at all, verifies tokens by the Service's keys."""

from asked import address, bearer, call, get, seconds_until
from cluster import apply
from world import ISSUER, container, issuer, log_in, namespace, pod, runs

JWKS = "http://wxmint.wxmint.svc.cluster.local/.well-known/jwks.json"


def a_pod_without_rights_verifies_tokens_by_the_services_keys():
    """It has no token of the API, another make of verifier, and the two labels that the network policy wants."""
    login = issuer()
    namespace("elsewhere", fetches_keys="allowed")
    verifier = container("peer", "peer", ISSUER, ISSUER, JWKS)
    apply("elsewhere", pod("peer", verifier, labels={"wxmint/fetches-keys": "true"}))
    runs("elsewhere", "peer")
    made = get("pod/peer", namespace="elsewhere")
    assert "serviceAccountToken" not in str(made["spec"])
    at, (token, user) = f"http://{address(made)}:8000/", log_in(login)
    # kube-router refuses a new pod's connections until it knows that a policy lets them pass.
    seconds_until(lambda: "connection refused" not in call("GET", at, headers=bearer(token))[2], 10)
    status, _, said = call("GET", at, headers=bearer(token))
    assert (status, said) == (200, user), (status, said)
    head, claims, signature = token.split(".")
    of_another = log_in(login)[0].split(".")
    assert call("GET", at, headers=bearer(f"{head}.{of_another[1]}.{signature}"))[0] == 401

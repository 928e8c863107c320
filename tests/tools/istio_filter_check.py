"""Runs the rendered Istio overlay in Envoy, as istiod would have it there, and sends it what strangers send.

    istio_filter_check.py ENVOY RENDERED.yaml

What is taken from the overlay as it stands are the EnvoyFilters' filters and clusters in their order, and the RequestAuthentication's and
AuthorizationPolicy's values; their translation into jwt_authn and RBAC is this script's, after istiod's. With
`--self-test` the filters are left out, and the identity headers must then be seen to be forged. Where an EnvoyFilter asks the
sidecar, a stand-in of the sidecar answers, which knows of one revoked token.
"""

import http.client
import http.server
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

PATIENCE = 30
SPELLINGS = ["X-User-Id", "x-user-id", "X_User_Id", "x_user-id", "X.User.Id", "X-User.Id", "X-USER_ID", "XUserId"]
SPELLINGS += [name.replace("User", "Client").replace("user", "client").replace("USER", "CLIENT") for name in SPELLINGS]
SPELLINGS += ["X-Token-Id", "X_Token_Id", "x.token.id"]


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the request's headers, as a list of pairs."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps(self.headers.items()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Sidecar(http.server.BaseHTTPRequestHandler):
    """Answers as `wxmint sidecar` does whose paths are all open: to the revoked token with 401, to no token with nobody."""

    protocol_version = "HTTP/1.1"
    ended = ""

    def do_GET(self):
        token = (self.headers["authorization"] or "").removeprefix("Bearer ")
        if not self.path.startswith("/verify/") or token == self.ended:
            self.send_response(401)
        else:
            claims = jwt.decode(token, options={"verify_signature": False}) if token.count(".") == 2 and " " not in token else {}
            self.send_response(200)
            for header, claim in (("X-User-Id", "sub"), ("X-Client-Id", "client_id"), ("X-Token-Id", "jti")):
                self.send_header(header, claims.get(claim, ""))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def filters_of(documents):
    """The filters that EnvoyFilters put in front, the last one applied foremost, and the clusters that they add."""
    filters, clusters = [], []
    for document in sorted(of_kind(documents, "EnvoyFilter"), key=lambda d: d["spec"].get("priority", 0)):
        for patch in document["spec"]["configPatches"]:
            assert (patch["applyTo"], patch["patch"]["operation"]) in (("HTTP_FILTER", "INSERT_FIRST"), ("CLUSTER", "ADD"))
            into = filters if patch["applyTo"] == "HTTP_FILTER" else clusters
            into.insert(0, patch["patch"]["value"])
    return filters, clusters


def of_kind(documents, kind):
    """The documents of a kind."""
    return [document for document in documents if document["kind"] == kind]


def only(documents, kind):
    """The one document of a kind."""
    return next(document for document in documents if document["kind"] == kind)


def envoy_configuration(documents, keys, echo_port, sidecar_port, with_filter):
    """The listener of a proxy of the mesh, as far as it matters here."""
    rule = only(documents, "RequestAuthentication")["spec"]["jwtRules"][0]
    provider = {
        "issuer": rule["issuer"],
        "audiences": rule["audiences"],
        "local_jwks": {"inline_string": json.dumps(keys)},
        "from_headers": [{"name": h["name"], "value_prefix": h["prefix"]} for h in rule["fromHeaders"]],
        "claim_to_headers": [{"header_name": c["header"], "claim_name": c["claim"]} for c in rule["outputClaimToHeaders"]],
        "forward": rule["forwardOriginalToken"],
        "payload_in_metadata": "payload",
    }
    (principal,) = only(documents, "AuthorizationPolicy")["spec"]["rules"][0]["from"][0]["source"]["requestPrincipals"]
    assert principal == rule["issuer"] + "/*"
    of_issuer = {"filter": "envoy.filters.http.jwt_authn", "path": [{"key": "payload"}, {"key": "iss"}]}
    allowed = {"metadata": {**of_issuer, "value": {"string_match": {"exact": rule["issuer"]}}}}
    extensions = "type.googleapis.com/envoy.extensions.filters"
    filters = [
        {
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": f"{extensions}.http.jwt_authn.v3.JwtAuthentication",
                "providers": {"wxmint": provider},
                "rules": [
                    {
                        "match": {"prefix": "/"},
                        "requires": {"requires_any": {"requirements": [{"provider_name": "wxmint"}, {"allow_missing": {}}]}},
                    }
                ],
            },
        },
        {
            "name": "envoy.filters.http.rbac",
            "typed_config": {
                "@type": f"{extensions}.http.rbac.v3.RBAC",
                "rules": {
                    "policies": {
                        "wxmint": {"permissions": [{"any": True}], "principals": [allowed]},
                        # The rule that the overlay shows as a comment.
                        "public": {"permissions": [{"url_path": {"path": {"prefix": "/public/"}}}], "principals": [{"any": True}]},
                    }
                },
            },
        },
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{extensions}.http.router.v3.Router"}},
    ]
    of_overlay, clusters = filters_of(documents)
    if with_filter:
        filters = of_overlay + filters
    for cluster in clusters:
        address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        assert address == {"address": "127.0.0.1", "port_value": 8181}
        address["port_value"] = sidecar_port
    manager = {
        "@type": f"{extensions}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "peer",
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "peer", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "peer"}}]}]},
    }
    loopback = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoint = {"endpoint": {"address": loopback(echo_port)}}
    return {
        "admin": {"address": loopback(0)},
        "static_resources": {
            "listeners": [
                {
                    "name": "peer",
                    "address": loopback(0),
                    "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {"name": "peer", "load_assignment": {"cluster_name": "peer", "endpoints": [{"lb_endpoints": [endpoint]}]}},
                *clusters,
            ],
        },
    }


def listener_of(admin_file, envoy):
    """Waits for Envoy; the port it chose."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if envoy.poll() is not None:
            raise SystemExit(f"Envoy refuses the configuration: {envoy.stderr.read().decode()}")
        try:
            host, port = admin_file.read_text().rsplit(":", 1)
            connection = http.client.HTTPConnection(host, int(port), timeout=5)
            connection.request("GET", "/listeners")
            return int(re.search(r"peer::127\.0\.0\.1:(\d+)", connection.getresponse().read().decode())[1])
        except (OSError, ValueError, TypeError):
            time.sleep(0.05)
    raise SystemExit(f"Envoy does not listen within {PATIENCE} s")


def asked(port, headers, path="/orders"):
    """The status, and what the peer saw of identities: names in lower case and values."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        lines = [f"GET {path} HTTP/1.1", "Host: peer", "Connection: close", *(f"{name}: {value}" for name, value in headers)]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
    if answer.status != 200:
        return answer.status, None
    plain = lambda name: re.sub("[^a-z0-9]", "", name.lower())
    seen = [(name.lower(), value) for name, value in json.loads(body) if plain(name) in ("xuserid", "xclientid", "xtokenid")]
    # The sidecar's headers are empty for nobody.
    seen = [pair for pair in seen if pair[1]]
    return answer.status, sorted(seen)


def faults(port, token, other, ended):
    """What strangers get by that they should not, and the reverse."""
    identity = sorted({"x-user-id": "user-1", "x-client-id": "wx0123456789abcdef", "x-token-id": "token-1"}.items())
    bearer = ("Authorization", f"Bearer {token}")
    forged = [(name, "forged") for name in SPELLINGS]
    cases = [
        ("a good token", [bearer], "/orders", (200, identity)),
        ("a good token, and every spelling", [*forged, bearer, *forged], "/orders", (200, identity)),
        ("Connection: X-User-Id", [bearer, ("Connection", "X-User-Id")], "/orders", (200, identity)),
        ("no token, and every spelling", forged, "/orders", (403, None)),
        ("a public path, and every spelling", forged, "/public/a", (200, [])),
        ("a public path, a token, and every spelling", [*forged, bearer], "/public/a", (200, identity)),
        ("another's token", [("Authorization", f"Bearer {other}")], "/orders", (401, None)),
        *([("a revoked token", [("Authorization", f"Bearer {ended}")], "/orders", (401, None))] if ended else []),
        ("another's token on a public path", [("Authorization", f"Bearer {other}")], "/public/a", (401, None)),
        ("a token in the query", [], f"/orders?access_token={token}", (403, None)),
        ("two tokens", [bearer, bearer], "/orders", (401, None)),
        ("two tokens on one line", [("Authorization", f"Bearer {token}, Bearer {token}")], "/orders", (401, None)),
    ]
    cases += [(f"{name} alone", [(name, "forged"), bearer], "/orders", (200, identity)) for name in SPELLINGS]
    cases += [(f"{name} alone on a public path", [(name, "forged")], "/public/a", (200, [])) for name in SPELLINGS]
    for name, headers, path, expected in cases:
        got = asked(port, headers, path)
        if got != expected:
            yield f"{name}: {got}, not {expected}"


def main():
    """Exits with 1 and what got by, or says that nothing did."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--self-test"]
    self_test = len(arguments) < len(sys.argv) - 1
    envoy_path, rendered = arguments
    documents = list(yaml.safe_load_all(Path(rendered).read_text()))
    rule = only(documents, "RequestAuthentication")["spec"]["jwtRules"][0]

    ours, others = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ours.public_key()))
    now = int(time.time())
    claims = {"iss": rule["issuer"], "aud": rule["audiences"], "sub": "user-1", "client_id": "wx0123456789abcdef"}
    claims |= {"jti": "token-1", "iat": now, "exp": now + 600}
    token, other, ended = (jwt.encode(claims, key, "ES256", {"kid": "k", "typ": "at+jwt"}) for key in (ours, others, ours))

    echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    sidecar = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sidecar)
    Sidecar.ended = ended
    for server in (echo, sidecar):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    keys = {"keys": [{**key, "kid": "k", "alg": "ES256", "use": "sig"}]}
    configuration = envoy_configuration(documents, keys, echo.server_port, sidecar.server_port, with_filter=not self_test)
    asks_sidecar = bool(filters_of(documents)[1])
    with tempfile.TemporaryDirectory() as folder:
        file, admin = Path(folder, "envoy.json"), Path(folder, "admin")
        file.write_text(json.dumps(configuration))
        command = [envoy_path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        command += ["--config-path", str(file), "--admin-address-path", str(admin)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as envoy:
            try:
                found = list(faults(listener_of(admin, envoy), token, other, ended if asks_sidecar else None))
            finally:
                envoy.terminate()
    if self_test:
        noticed = sum("alone" in fault for fault in found)
        print(f"istio: without the filter, {noticed} spellings are noticed")
        ended_noticed = any(fault.startswith("a revoked token") for fault in found)
        sys.exit(noticed == 0 or ended_noticed != asks_sidecar)
    print(*found, sep="\n", end="\n" if found else "")
    if not found:
        print("istio: no identity header can be forged" + (", and no revoked token gets through" if asks_sidecar else ""))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

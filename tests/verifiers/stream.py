"""A peer that verifies with PyJWT: python stream.py JWKS_URL ISSUER LIFESPAN COOLDOWN (seconds)

Prints its address. Answers each GET with 200 where the bearer token is valid, else with 401 and why.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

jwks_url, issuer, lifespan, cooldown = sys.argv[1:]
keys = jwt.PyJWKClient(jwks_url, lifespan=float(lifespan), cooldown_duration=float(cooldown))


def refusal(token):
    try:
        key = keys.get_signing_key_from_jwt(token)
        jwt.decode(token, key, issuer=issuer, audience=issuer, options={"require": ["iss", "aud", "sub", "exp"]})
        return ""
    except jwt.PyJWTError as error:
        return f"{type(error).__name__}: {error}"


class Verifier(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are written separately; they are not to wait for each other's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        why = refusal(self.headers["Authorization"].removeprefix("Bearer "))
        self.send_response(401 if why else 200)
        self.send_header("Content-Length", str(len(why.encode())))
        self.end_headers()
        self.wfile.write(why.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Verifier)
print("http://%s:%s" % server.server_address, flush=True)
server.serve_forever()

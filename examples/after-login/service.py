"""A service of the business: sells, and reads encrypted messages. It believes X-User-Id, which the proxy with the sidecar
writes (docs/verify.md), and listens on loopback, so that nobody reaches it but that proxy. Needs requirements.txt.

    ADMIN=http://127.0.0.1:9090 SECRET=… APPID=… OFFER_ID=… APP_KEY=… python service.py
"""

import json
import os
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from message import opened
from sale import payment
from wxmint import LogInAgain

PRICES = {"coffee-sticker": 100}  # fen; from your own database, never from the request
LONGEST = 64 * 1024  # bytes of a body


def sell(user, body):
    product = body["productId"]
    out_trade_no = uuid.uuid4().hex  # note it with the user before you answer
    return payment(user, out_trade_no, product, PRICES[product])


ROUTES = {"/orders": sell, "/messages": lambda user, body: {"text": opened(user, body["version"], body["data"])}}


class Service(BaseHTTPRequestHandler):
    timeout = 10  # seconds for a request

    def do_POST(self):
        status, said = self._answer()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

    def _answer(self):
        act, user, length = ROUTES.get(self.path), self.headers.get("X-User-Id"), int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= LONGEST:
            return 413, {"code": "too_long"}
        body = self.rfile.read(length)
        if not act:
            return 404, {"code": "not_found"}
        if not user:
            return 500, {"code": "no_proxy"}
        try:
            return 200, act(user, json.loads(body))
        except LogInAgain:
            return 409, {"code": "log_in_again"}
        except (ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            self.log_error("%s", error)
            return 400, {"code": "refused"}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Service)
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()

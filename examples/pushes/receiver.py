"""Receives WeChat's pushes: has wxmint end or erase who has left, and asks it who has paid or written. Needs
requirements.txt, because Python itself has no AES.

    APPID=… PUSH_TOKEN=… PUSH_AES_KEY=… ADMIN=http://127.0.0.1:9090 SECRET=… python receiver.py

SECRET stands in the file of WXMINT_ADMIN_TOKENS_FILE with the rights `read,operate`. Put your
proxy with TLS in front.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import parse_qsl, quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from push import Pushes

APPID, ADMIN, SECRET = os.environ["APPID"], os.environ["ADMIN"], os.environ["SECRET"]
LONGEST = 64 * 1024  # bytes of a push
PATIENCE = 4  # seconds for wxmint, because WeChat waits 5

pushes = Pushes(os.environ["PUSH_TOKEN"], os.environ.get("PUSH_AES_KEY"), APPID)
# The pushes of the last minutes that were handled. Where several processes receive, keep them in Redis: EXISTS id
# before, SET id 1 EX 600 afterwards (not NX before, or a push that failed would be ignored when WeChat sends it again).
handled = {}
opener = build_opener(ProxyHandler({}))  # wxmint is in your own network, not behind a proxy


def wxmint(method, openid, act=""):
    """What wxmint says of a person, or None if it knows none."""
    url = f"{ADMIN}/wechat/{APPID}/people/{quote(openid, safe='')}{act}"
    try:
        with opener.open(Request(url, method=method, headers={"Authorization": f"Bearer {SECRET}"}), timeout=PATIENCE) as answer:
            return json.loads(answer.read() or "null")
    except HTTPError as error:
        said = json.loads(error.read())
        if said["code"] == "person_not_found":
            return None
        raise RuntimeError(f"wxmint: {said['code']}, request {said['request_id']}") from error


def tell(**event):
    print(json.dumps(event), flush=True)


def deliver(push):
    """Virtual goods were paid for: give them to the user, once for each OutTradeNo."""
    person = wxmint("GET", push["OpenId"])
    if person is None:
        raise RuntimeError(f"order {push['OutTradeNo']} is of nobody that wxmint knows")
    tell(order=push["OutTradeNo"], user_id=person["user_id"])


def answer_message(push):
    """A message to the customer service."""
    person = wxmint("GET", push["FromUserName"])
    tell(asks=person and person["user_id"])


# What is done with each kind of push. May run twice for one push.
ACTS = {
    # RevokeInfo says which data you may no longer keep: delete them here, too.
    "user_authorization_revoke": lambda push: wxmint("POST", push["OpenID"], "/revoke"),
    # Delete here what your own system knows of the person.
    "user_authorization_cancellation": lambda push: wxmint("DELETE", push["OpenID"]),
    "xpay_goods_deliver_notify": deliver,
    "text": answer_message,
}


def handle(push_id, push):
    act = ACTS.get(push.get("Event") if push.get("MsgType") == "event" else push.get("MsgType"))
    if act and push_id not in handled:
        act(push)
    now = time.monotonic()
    for old in [old for old, at in list(handled.items()) if now - at > 600]:
        handled.pop(old, None)
    handled[push_id] = now


class Receiver(BaseHTTPRequestHandler):
    timeout = 10  # seconds for a request

    def do_GET(self):
        self._answer(lambda: pushes.echo(self._query()))

    def do_POST(self):
        self._answer(self._received)

    def _received(self):
        length = int(self.headers.get("Content-Length", 0))
        if not 0 <= length <= LONGEST:
            raise ValueError("the push is too long")
        push_id, push = pushes.open(self._query(), self.rfile.read(length))
        try:
            handle(push_id, push)
        except Exception as error:  # wxmint is away, for example
            # WeChat sends it again, a few times within seconds. Put a push that must not be lost into a queue of your own.
            print(f"not handled: {push.get('Event')}: {error}", file=sys.stderr, flush=True)
            return None
        is_payment = str(push.get("Event", "")).startswith("xpay_")
        return json.dumps({"ErrCode": 0, "ErrMsg": "success"}) if is_payment else "success"

    def _query(self):
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    def _answer(self, act):
        try:
            text = act()
            status, text = (503, "again") if text is None else (200, text)
        except Exception as error:  # whatever a stranger sends
            print(f"refused: {error}", file=sys.stderr, flush=True)
            status, text = 403, "refused"
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """The query has the push's signature, which belongs in no log."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "5001"))), Receiver)
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()

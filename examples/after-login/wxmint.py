"""Asks wxmint's admin listener. SECRET stands in the file of WXMINT_ADMIN_TOKENS_FILE with the right `wechat`."""

import json
import os
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

ADMIN, SECRET, APPID = os.environ["ADMIN"], os.environ["SECRET"], os.environ["APPID"]  # ADMIN: http://127.0.0.1:9090
opener = build_opener(ProxyHandler({}))  # wxmint is in your own network, not behind a proxy


class LogInAgain(Exception):
    """The person must log in again: have the mini program call wx.login and repeat its request."""


def wxmint(user, act, body=None):
    """`act` is `signature` or `encrypt-keys`, for a user in this mini program."""
    url = f"{ADMIN}/users/{quote(user, safe='')}/wechat/{APPID}/{act}"
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    try:
        with opener.open(Request(url, data, headers), timeout=10) as answer:
            return json.load(answer)
    except HTTPError as error:
        said = json.load(error)
        if said["code"] in ("session_key_missing", "person_not_found"):
            raise LogInAgain(said["detail"]) from error
        raise RuntimeError(f"wxmint: {said['code']}, request {said['request_id']}") from error

"""Refuses wxmint's tokens that were revoked before they expire: follows the issuer's signed revocation feed."""

import asyncio
import hashlib
import logging
import re
import socket
import threading
import time
import urllib.parse
import urllib.request
from base64 import urlsafe_b64encode
from contextlib import ExitStack, suppress
from functools import partial
from http.client import HTTPConnection, HTTPSConnection

import jwt

EVERY = 5  # seconds between two looks
DEADLINE = 4  # seconds for one answer, from the connection to the last byte
LONGEST_PAGE = 2 << 20  # bytes
MOST_PAGES = 1_000  # in one look
MOST_REVOCATIONS = 1_000_000  # held in memory; of more, those of the kind with most that end first are dropped, but no key
FORGET_EVERY = 60  # seconds, by the time of the pages: a look at so many takes long
MAX_AGE = 60  # seconds; what to do when the knowledge is older:
FAIL = "open"  # "open" goes on and warns; "closed" answers 503
FIRST_PAGE_WITHIN = 10  # seconds; "open" goes on without a first page after that
REFRESH_EVERY = 10  # seconds; keys for a page of a key that is not known
LEEWAY = 60  # seconds by which clocks may differ

log = logging.getLogger("uvicorn.error")


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def hang_up(connection):
    with connection, suppress(OSError):  # It may have ended already.
        connection.shutdown(socket.SHUT_RDWR)


class InTime(HTTPConnection):
    """Ends after DEADLINE: a socket's own timeout begins again with each byte."""

    def connect(self):
        super().connect()
        connection = self.sock.dup()  # TLS takes self.sock itself
        timer = threading.Timer(DEADLINE, hang_up, [connection])
        timer.daemon = True
        timer.start()
        self.ends.callback(connection.close)
        self.ends.callback(timer.cancel)


class InTimeByTls(HTTPSConnection, InTime):
    """HTTPSConnection connects by InTime, and then begins TLS."""


class Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    def __init__(self, ends):
        super().__init__()
        self.ends = ends

    def connection(self, kind, *args, **options):
        connection = kind(*args, **options)
        connection.ends = self.ends
        return connection

    def http_open(self, request):
        return self.do_open(partial(self.connection, InTime), request)

    def https_open(self, request):
        return self.do_open(partial(self.connection, InTimeByTls), request)


def fetch(url, longest):
    """An answer with status 200. Blocks."""
    text, end = b"", time.monotonic() + DEADLINE
    with ExitStack() as ends, urllib.request.build_opener(NoRedirects, Handler(ends)).open(url, timeout=DEADLINE) as answer:
        while chunk := answer.read1(65536):
            text += chunk
            if len(text) > longest or time.monotonic() > end:
                raise ValueError("the issuer's answer is too long")
    return text


class Revocations:
    def __init__(self, issuer, keys, refresh):
        """`keys()` returns {kid: jwt.PyJWK}, empty while there are none. `await refresh()` fetches them anew."""
        self.issuer, self.keys, self.refresh = issuer, keys, refresh
        self.held = {}  # ("sub" or "app", hash): (BEFORE, UNTIL); ("jti", hash) and ("kid", kid): (0, UNTIL)
        self.cursor = ""
        self.newest = 0  # the greatest `iat` of a page
        self.forgot_at = 0  # `newest`, when it forgot last
        self.complete = None  # the greatest `iat` of a page after which there was no more
        self.began = None  # when there were keys for the first time
        self.warned = self.refreshed = float("-inf")
        self.lacking_until = 0  # until when a revocation that was dropped may be needed

    def has(self, header, claims):
        """Whether a verified token was ended. Ask about each request, also where a token is remembered as good."""
        user, app = claims["sub"], f"{claims['sub']}\0{claims['client_id']}"
        of_user, of_app = ("sub", self.hash(user)), ("app", self.hash(app))
        before = max(self.held[end][0] if end in self.held else -1 for end in (of_user, of_app))
        of_token = ("jti", self.hash(claims["jti"])) in self.held
        return int(claims["iat"]) <= before or of_token or ("kid", header["kid"]) in self.held

    @property
    def unavailable(self):
        """Whether no token can be judged now: answer 503."""
        if FAIL == "closed":
            return self.age > MAX_AGE or time.time() < self.lacking_until
        return self.complete is None and (self.began is None or time.monotonic() - self.began <= FIRST_PAGE_WITHIN)

    @property
    def age(self):
        """Seconds; for your metrics."""
        return float("inf") if self.complete is None else time.time() - self.complete

    async def follow(self):
        while True:
            await self.look()
            await asyncio.sleep(EVERY if self.began else 0.2)

    async def look(self):
        if not self.keys():
            return
        trouble, self.began = None, self.began or time.monotonic()
        try:
            for _ in range(MOST_PAGES):
                if not self.take(*await asyncio.to_thread(self.page)):
                    break
        except Exception as error:  # What is known stays, whatever it was.
            trouble = error
            # After `wxmint keys retire --now`, a key signs that is not known yet. No stranger can make us fetch it.
            if isinstance(error, KeyError) and time.monotonic() - self.refreshed > REFRESH_EVERY:
                self.refreshed = time.monotonic()
                await self.refresh()
                return await self.look()
        ahead = (self.complete or 0) - time.time()
        if ahead > LEEWAY:  # This machine's clock has stepped back, and refuses new pages: what is known is as old as that.
            self.complete -= 2 * ahead
        if time.time() < self.lacking_until:
            trouble = trouble or "too many revocations; the oldest were dropped"
        if (trouble or self.age > MAX_AGE) and time.monotonic() - self.warned > 60:
            log.warning("revocations are %.0f s old: %s", self.age, trouble or "the issuer's newest page is old")
            self.warned = time.monotonic()

    def forget(self):
        """Drops what can concern no valid token any more, and what is too much: by the time of the newest page, because this
        machine's clock may be wrong, and what is forgotten is never learnt again."""
        self.forgot_at = self.newest
        self.held = {end: times for end, times in self.held.items() if self.needs(times)}
        while len(self.held) > MOST_REVOCATIONS:
            kinds = [[end for end in self.held if end[0] == kind] for kind in ("sub", "app", "jti")]
            most = sorted(max(kinds, key=len), key=lambda end: self.held[end][1])
            if not most:
                return
            for end in most[: -(-len(most) // 8)]:
                self.lacking_until = max(self.lacking_until, self.held.pop(end)[1] + 2 * LEEWAY)

    def needs(self, times):
        """Until the last token has expired: for the leeway, and for as long again by a clock that is behind."""
        return times[1] + 2 * LEEWAY > self.newest

    def page(self):
        """The kid of the next page's key and its claims, verified as a page. Blocks."""
        query = f"?after={urllib.parse.quote(self.cursor, safe='')}" if self.cursor else ""
        text = fetch(f"{self.issuer}/revocations{query}", LONGEST_PAGE)
        header = jwt.get_unverified_header(text)
        # An access token is no page. The algorithm is the key's.
        if header.get("typ") != "revocations+jwt" or "crit" in header:
            raise ValueError("not a page")
        key = self.keys()[header["kid"]]
        options = {"require": ["iss", "iat", "exp"], "verify_aud": False}
        algorithms = ["ES256", "EdDSA", "RS256"]
        return header["kid"], jwt.decode(text, key, algorithms, issuer=self.issuer, leeway=LEEWAY, options=options)

    def take(self, kid, page):
        """A page counts as a whole or not at all. Returns whether there is more."""
        iat, after, cursor, more = page["iat"], page["after"], page["cursor"], page["more"]
        # Each replica of wxmint keeps a page for a second, and after a failover its clock may be a little behind.
        if not is_time(iat) or iat < self.newest - LEEWAY:
            raise ValueError("a much older page than the newest one")
        if not is_time(page["exp"]):  # PyJWT takes a text for a number
            raise ValueError("a malformed page")
        if after not in ("", self.cursor):
            raise ValueError("a page that was not asked for")
        if not isinstance(cursor, str) or not isinstance(more, bool):
            raise ValueError("a malformed page")
        if more and cursor == self.cursor:
            raise ValueError("a page that leads to itself")
        if not isinstance(page["revoked"], list) or not all(map(is_end, page["revoked"])):
            raise ValueError("a malformed end")
        if ("kid", kid) in self.held or any(end[:2] == ["kid", kid] for end in page["revoked"]):
            raise ValueError("the page's key is ended")
        self.newest, self.cursor = max(iat, self.newest), cursor
        for kind, *rest in page["revoked"]:
            if kind in ("sub", "app", "jti", "kid"):  # others are of a newer issuer
                name, *times = rest
                before, until = times[:2] if kind in ("sub", "app") else (0, times[0])
                held = self.held.get((kind, name), (0, 0))
                merged = max(before, held[0]), max(until, held[1])
                if self.needs(merged):
                    self.held[kind, name] = merged
        if self.newest - self.forgot_at >= FORGET_EVERY or len(self.held) > MOST_REVOCATIONS:
            self.forget()
        if not more:
            self.complete = max(iat, self.complete or 0)
        return more

    def hash(self, value):
        """The feed names nobody: the first 12 bytes of SHA-256, as base64url."""
        return urlsafe_b64encode(hashlib.sha256(f"{self.issuer}\0{value}".encode()).digest()[:12]).decode()


def is_time(value):
    return type(value) is int and value >= 0


def is_hash(value):
    return re.fullmatch(r"[\w-]{16}", value, re.ASCII) is not None


def is_end(end):
    match end:
        case ["sub" | "app", str(hash), before, until, *_]:
            return is_hash(hash) and is_time(before) and is_time(until)
        case ["jti", str(hash), until, *_]:
            return is_hash(hash) and is_time(until)
        case ["kid", str(kid), until, *_]:
            return kid != "" and is_time(until)
        case [str(kind), *_]:
            return kind not in ("sub", "app", "jti", "kid")
    return False

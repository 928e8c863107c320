"""An API that takes wxmint's tokens: FastAPI and PyJWT."""

import asyncio
import json
import logging
import time
from contextlib import asynccontextmanager, suppress
from typing import Annotated, NamedTuple

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request

from revocations import Revocations, fetch

# wxmint's WXMINT_ISSUER and WXMINT_AUDIENCE. https everywhere but on one machine.
ISSUER = "http://127.0.0.1:8080"
AUDIENCE = ISSUER
JWKS = f"{ISSUER}/.well-known/jwks.json"

ALGORITHMS = ["ES256", "EdDSA", "RS256"]
REQUIRED = ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"]
LONGEST_TOKEN = 8192
LONGEST_SET = 65_536  # bytes
LONGEST_LIFE = 30 * 86_400  # seconds; no wxmint can be set to more
LEEWAY = 60  # seconds by which clocks may differ; wxmint keeps a key published for that much longer

log = logging.getLogger("uvicorn.error")


class User(NamedTuple):
    user_id: str
    client_id: str


class Keys:
    """The issuer's keys. A key is published half an hour before it signs, so a token never makes us fetch: a stranger
    could otherwise have us ask as often as he likes, or wait for an issuer that is away."""

    EVERY = 300  # seconds; a removed key is believed for so long
    EVERY_WHILE_NONE = 2
    MAX_AGE = 86_400  # seconds; keys that the issuer has not confirmed for so long are no longer believed

    def __init__(self):
        self.newest = {}
        self.confirmed = 0

    @property
    def by_kid(self):
        """Those that are believed, by the age at each request: this machine may have slept."""
        believed = abs(time.time() - self.confirmed) <= self.MAX_AGE  # The clock may have been ahead.
        return self.newest if believed else {}

    async def refresh(self):
        try:
            self.newest = usable(json.loads(await asyncio.to_thread(fetch, JWKS, LONGEST_SET)))
            self.confirmed = time.time()
        except Exception as error:  # The last good keys stay, whatever it is.
            log.warning("keys are not refreshed: %s", error)

    async def keep_fresh(self):
        while True:
            await self.refresh()
            await asyncio.sleep(self.EVERY if self.by_kid else self.EVERY_WHILE_NONE)


def usable(jwk_set):
    """The keys by kid. A bad one spoils itself only; PyJWT looks neither at key_ops nor at an RSA key's length."""
    by_kid = {}
    for jwk in jwk_set["keys"]:
        with suppress(jwt.PyJWTError, AttributeError, KeyError, TypeError):
            if not isinstance(jwk["kid"], str):
                continue
            if jwk.get("use", "sig") == "sig" and "verify" in jwk.get("key_ops", ["verify"]):
                key = jwt.PyJWK(jwk)
                is_long = key.key_type != "RSA" or key.key.key_size >= 2048
                if is_long and key.algorithm_name in ALGORITHMS:
                    by_kid.setdefault(jwk["kid"], key)
    if not by_kid:
        raise ValueError("no usable key")
    return by_kid


keys = Keys()
revocations = Revocations(ISSUER, lambda: keys.by_kid, keys.refresh)  # what was revoked before it expired; revocations.py asks every 5 s


@asynccontextmanager
async def lifespan(_):
    refreshing = [asyncio.create_task(keys.keep_fresh()), asyncio.create_task(revocations.follow())]
    yield
    for task in refreshing:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def verified(token):
    """The claims of a token that is one of ours, or a PyJWTError."""
    if len(token) > LONGEST_TOKEN:
        raise jwt.InvalidTokenError("too long")
    key = keys.by_kid.get(jwt.get_unverified_header(token).get("kid"))
    if key is None:
        raise jwt.InvalidTokenError("unknown key")
    # A PyJWK takes its own algorithm and no other. PyJWT refuses each `crit` but b64, and obeys no jwk, jku or x5u; it
    # checks of a time only what is there, hence `require`, and allows clocks no difference unless told.
    decoded = jwt.decode_complete(
        token, key, ALGORITHMS, issuer=ISSUER, audience=AUDIENCE, leeway=LEEWAY, options={"require": REQUIRED}
    )
    header, claims = decoded["header"], decoded["payload"]
    # What PyJWT does not check: that it is an access token, and not something else that the same key has signed.
    if str(header.get("typ")).lower() not in ("at+jwt", "application/at+jwt"):
        raise jwt.InvalidTokenError("not an access token")
    if "crit" in header:
        raise jwt.InvalidTokenError("crit")
    if not isinstance(claims["client_id"], str):
        raise jwt.InvalidTokenError("client_id")
    if int(claims["exp"]) - int(claims["iat"]) > LONGEST_LIFE:
        raise jwt.InvalidTokenError("lives too long")
    if revocations.has(header, claims):
        raise jwt.InvalidTokenError("ended")
    return claims


async def current_user(request: Request) -> User:
    """Nothing here waits, so it needs no thread of its own."""
    authorization = request.headers.getlist("authorization")
    if not authorization:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    if not keys.by_kid or revocations.unavailable:
        raise HTTPException(503, headers={"Retry-After": "2"})
    try:
        # Of two headers, a proxy before us may have looked at the other one.
        [header] = authorization
        scheme, token = header.split(" ")
        if scheme.lower() != "bearer":
            raise ValueError("another scheme")
        claims = verified(token)
    except (jwt.PyJWTError, ValueError) as error:
        log.info("refused: %r", error)  # It may have a stranger's words.
        raise HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}) from None
    return User(claims["sub"], claims["client_id"])


app = FastAPI(lifespan=lifespan)


@app.get("/orders")
async def orders(user: Annotated[User, Depends(current_user)]):
    return user._asdict()


@app.get("/public/hello")
async def hello():
    return {"hello": "everybody"}

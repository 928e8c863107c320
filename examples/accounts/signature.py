"""Checks that a request comes from wxmint and is what wxmint sent. Copy this file into your service."""

import base64
import hashlib

import jwt  # pip install "PyJWT[crypto]"


class RequestVerifier:
    def __init__(self, issuer, base_url):
        """issuer: WXMINT_ISSUER. base_url: WXMINT_ACCOUNTS, as wxmint has it."""
        self.issuer, self.base_url = issuer, base_url.rstrip("/")
        self.keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")  # keep it: it caches the keys

    def verify(self, authorization, method, path, body):
        """path is what follows base_url, body the bytes as they came. Raises jwt.PyJWTError."""
        token = authorization.removeprefix("Bearer ")
        key = self.keys.get_signing_key_from_jwt(token)  # knows its algorithm, which is the only one accepted
        required = {"require": ["iss", "aud", "iat", "exp", "jti"]}
        verified = jwt.decode_complete(
            token, key, issuer=self.issuer, audience=self.base_url, leeway=60, options=required
        )
        digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
        signed = {"htm": method, "htu": self.base_url + path, "body_sha256": digest}
        other_request = any(verified["payload"].get(claim) != value for claim, value in signed.items())
        # wxmint signs access tokens with the same key: the type tells them apart.
        if other_request or verified["header"].get("typ") != "wxmint-request+jwt":
            raise jwt.InvalidTokenError("the token belongs to another request")

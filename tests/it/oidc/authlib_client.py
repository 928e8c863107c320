"""A login by Authlib: authlib_client.py ISSUER CLIENT_ID SECRET REDIRECT_URI. tests/it/oidc/foreign.rs is its browser."""

import sys
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.common.security import generate_token
from authlib.jose import JsonWebKey, jwt
from authlib.oidc.core import CodeIDToken

issuer, client_id, secret, redirect_uri = sys.argv[1:5]
told = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=10).json()
keys = JsonWebKey.import_key_set(requests.get(told["jwks_uri"], timeout=10).json())
session = OAuth2Session(
    client_id, secret, redirect_uri=redirect_uri, scope="openid offline_access", code_challenge_method="S256",
    token_endpoint=told["token_endpoint"],
)


def login() -> dict:
    """The tokens, and the claims of the id token."""
    verifier, nonce = generate_token(48), generate_token(20)
    to, state = session.create_authorization_url(told["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
    print(to, flush=True)
    back = sys.stdin.readline().strip()
    if parse_qs(urlsplit(back).query)["iss"] != [issuer]:
        raise ValueError("another issuer has answered")
    tokens = session.fetch_token(authorization_response=back, state=state, code_verifier=verifier)
    claims = jwt.decode(
        tokens["id_token"], keys, claims_cls=CodeIDToken,
        claims_options={"iss": {"values": [issuer]}, "aud": {"values": [client_id]}},
        claims_params={"nonce": nonce, "client_id": client_id, "access_token": tokens["access_token"]},
    )
    claims.validate()
    return claims


sub = login()["sub"]
renewed = session.refresh_token()
assert session.get(told["userinfo_endpoint"], timeout=10).json() == {"sub": sub}
assert session.revoke_token(told["revocation_endpoint"], renewed["refresh_token"]).status_code == 200
assert session.get(told["userinfo_endpoint"], timeout=10).status_code == 401
print(sub, flush=True)
try:
    login()
    print("logged in")
except ValueError as error:
    print(f"refused: {error}")

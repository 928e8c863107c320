# python verify.py ISSUER TOKEN
# Accepts a revoked token until its exp: examples/peers/python also follows the revocations.
import sys

import jwt  # pip install "PyJWT[crypto]"

issuer, token = sys.argv[1:]
keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json")  # keep it: it caches the keys


def verify(token):
    key = keys.get_signing_key_from_jwt(token)  # knows its algorithm, which is the only one accepted
    required = {"require": ["iss", "aud", "sub", "exp"]}
    verified = jwt.decode_complete(token, key, issuer=issuer, audience=issuer, leeway=60, options=required)
    if verified["header"].get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return verified["payload"]


try:
    print(verify(token)["sub"])
except jwt.PyJWTError as error:
    sys.exit(f"refused: {error}")

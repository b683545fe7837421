"""An OpenID Connect issuer on loopback: strict about every word of the protocol, and lying where a test wants it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLIENT, SECRET = "refund-desk", "client-secret-0123456789"
CALLBACK = "https://refunds.example/accounts/sso/callback/"
KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]


class Issuer:
    """`claims` are the person who logs in; `lies` are put over the ID token; `signs` says how it is signed."""

    def __init__(self) -> None:
        self.key, self.stranger = KEYS
        self.claims: dict[str, Any] = {"sub": "u-1", "preferred_username": "maria", "groups": []}
        self.lies: dict[str, Any] = {}
        self.config: dict[str, Any] = {}
        self.signs = "RS256"
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.people: list[dict[str, Any]] = []
        self.url = ""

    def id_token(self, nonce: str) -> str:
        now = int(time.time())
        told = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce, "auth_time": now}
        claims = {key: value for key, value in {**told, **self.claims, **self.lies}.items() if value is not None}
        if self.signs == "none":
            return jwt.encode(claims, None, algorithm="none", headers={"kid": "k1"})
        if self.signs == "HS256":  # with the public key, which everybody has, as the secret
            return forged(claims, self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        key = self.stranger if self.signs == "stranger" else self.key
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k2" if self.signs == "kid" else "k1"})

    def jwks(self) -> dict[str, Any]:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**key, "kid": "k1", "use": "sig", "alg": "RS256"}]}

    def discovery(self) -> dict[str, Any]:
        ends = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/jwks"}
        return {
            "issuer": self.url,
            **{name: self.url + path for name, path in ends.items()},
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            **self.config,
        }

    def authorize(self, asked: dict[str, str]) -> str:
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == CALLBACK
        assert asked["response_type"] == "code"
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        assert len(asked["state"]) >= 16
        assert len(asked["nonce"]) >= 16
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return f"{CALLBACK}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, authorization: str, posted: dict[str, str]) -> dict[str, Any]:
        scheme, _, word = authorization.partition(" ")
        name, _, secret = base64.b64decode(word).decode().partition(":")
        assert (scheme, unquote(name), unquote(secret)) == ("Basic", CLIENT, SECRET)
        assert posted["grant_type"] == "authorization_code"
        asked = self.codes.pop(posted["code"])  # good once
        assert posted["redirect_uri"] == asked["redirect_uri"]
        digest = hashlib.sha256(posted["code_verifier"].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        return {"access_token": "canary-access", "token_type": "Bearer", "id_token": self.id_token(asked["nonce"])}

    def list_people(self, authorization: str, asked: dict[str, str]) -> dict[str, Any]:
        assert authorization == "Bearer canary-scim"
        start = int(asked["startIndex"]) - 1
        page = self.people[start : start + 2]
        schemas = ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
        return {"schemas": schemas, "totalResults": len(self.people), "startIndex": start + 1, "Resources": page}


def forged(claims: dict[str, Any], secret: bytes) -> str:
    """By hand, since PyJWT refuses to sign with somebody's public key."""
    import hmac

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    body = part({"alg": "HS256", "kid": "k1", "typ": "JWT"}) + b"." + part(claims)
    signature = base64.urlsafe_b64encode(hmac.new(secret, body, "sha256").digest()).rstrip(b"=")
    return (body + b"." + signature).decode()


def doors(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, asked = urlsplit(self.path).path, flat(urlsplit(self.path).query)
            pages: dict[str, Any] = {
                "/.well-known/openid-configuration": issuer.discovery,
                "/jwks": issuer.jwks,
                "/scim/Users": lambda: issuer.list_people(self.headers["Authorization"], asked),
            }
            self.tell(path, pages.get(path) or (lambda: {"location": issuer.authorize(asked)}))

        def do_POST(self) -> None:
            posted = flat(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.tell("/token", lambda: issuer.token(self.headers["Authorization"], posted))

        def tell(self, path: str, what: Any) -> None:
            issuer.asked.append(path)
            try:
                status, answer = 200, what()
            except (AssertionError, KeyError, ValueError) as error:
                status, answer = 400, {"error": "invalid_request", "error_description": repr(error)}
            body = json.dumps(answer).encode()
            self.send_response(302 if "location" in answer else status)
            if "location" in answer:
                self.send_header("Location", answer["location"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    return Door


def flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


@contextmanager
def running() -> Iterator[Issuer]:
    issuer = Issuer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), doors(issuer))
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Signatures over raw bytes: RSA, and the seven lines of V2_SHA256. Closed in every doubt."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from hmac import compare_digest

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateways.errors import BadWebhook

SMALLEST_KEY = 2048
LONGEST_SIGNATURE = 2048
V2_HEADER = re.compile(
    r"\AV2_SHA256 appId=([!-+\--<>-~]{1,100}),sign=([0-9a-f]{64}),timestamp=([0-9]{13}),nonce=([A-Za-z0-9_-]{8,64})\Z",
    re.ASCII,
)
EPOCH, MILLISECOND = datetime.fromtimestamp(0, UTC), timedelta(milliseconds=1)


def rsa_public_key(pem: str) -> rsa.RSAPublicKey:
    """The key in a PEM text. Raises ValueError unless it is RSA with at least 2048 bits."""
    try:
        key = load_pem_public_key(pem.encode("ascii"))
    except Exception:  # whatever the library may say of a stranger's text: it is no key
        raise ValueError("The text is not a public key in PEM form.") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("The public key is not an RSA key.")
    if key.key_size < SMALLEST_KEY:
        raise ValueError(f"The RSA key has {key.key_size} bits; {SMALLEST_KEY} are the least.")
    return key


def verify_rsa_sha256(key: rsa.RSAPublicKey, signature: str, body: bytes) -> None:
    """Raises BadWebhook unless the base64 text is the key owner's PKCS#1 v1.5 signature over exactly these bytes."""
    raw = strict_base64(signature)
    try:
        key.verify(raw, body, padding.PKCS1v15(), hashes.SHA256())
    except Exception:  # the one door that must stay shut whatever goes wrong behind it
        raise BadWebhook("The signature does not fit the text.") from None


def strict_base64(text: str) -> bytes:
    """The bytes of a base64 text in its one right spelling. Raises BadWebhook for any other."""
    if not text or len(text) > LONGEST_SIGNATURE:
        raise BadWebhook("The signature is missing or too long.")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise BadWebhook("The signature is not base64.") from None
    if base64.b64encode(raw).decode("ascii") != text:
        raise BadWebhook("The signature is not base64 in its one right spelling.")
    return raw


class V2Sha256:
    """Signs calls with a plain SHA-256, in hex, over seven lines: app, secret, method, URL, moment (ms), nonce, text.

    Whoever has seen one signature can make another for a longer text with binary bytes in it, so the form of a text
    has to be checked as well.
    """

    def __init__(self, app_id: str, secret: str) -> None:
        self._app_id, self._secret = app_id, secret

    def sign(self, method: str, url: str, timestamp: str, nonce: str, body: bytes) -> str:
        lines = (self._app_id, self._secret, method, url, timestamp, nonce)
        return hashlib.sha256("".join(f"{line}\n" for line in lines).encode() + body + b"\n").hexdigest()

    def header(self, method: str, url: str, body: bytes) -> str:
        """The Authorization header of one call, now; its nonce serves no other."""
        timestamp, nonce = str(time.time_ns() // 1_000_000), secrets.token_hex(16)
        sign = self.sign(method, url, timestamp, nonce, body)
        return f"V2_SHA256 appId={self._app_id},sign={sign},timestamp={timestamp},nonce={nonce}"

    def verify(self, header: str, method: str, url: str, body: bytes) -> datetime:
        """The moment (UTC) that a true header names. Raises BadWebhook for any other."""
        if not (found := V2_HEADER.match(header)):
            raise BadWebhook("The signature is missing or written in another way.")
        app_id, sign, timestamp, nonce = found.groups()
        is_right = compare_digest(sign, self.sign(method, url, timestamp, nonce, body))
        if not (compare_digest(app_id, self._app_id) and is_right):
            raise BadWebhook("The signature does not fit the text.")
        return EPOCH + int(timestamp) * MILLISECOND

    def verdict(self, header: str, method: str, url: str, body: bytes) -> str:
        """verified, missing or "does not verify", where that alone decides nothing."""
        try:
            self.verify(header, method, url, body)
        except BadWebhook:
            return "does not verify" if header else "missing"
        return "verified"

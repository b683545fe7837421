"""RSA signatures over raw bytes. Closed in every doubt."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateways.errors import BadWebhook

SMALLEST_KEY = 2048
LONGEST_SIGNATURE = 2048


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

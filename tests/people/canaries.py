"""What must never be seen again: test card numbers and one secret for each setting, in every spelling."""

from __future__ import annotations

import base64
from urllib.parse import quote, quote_plus

# The card schemes' and gateways' own test numbers.
PANS = (
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "4222222222222",
    "4000056655665556",
    "5555555555554444",
    "5105105105105100",
    "5200828282828210",
    "2223003122003222",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "6011000990139424",
    "3056930009020004",
    "36227206271667",
    "38520000023237",
    "3566002020360505",
    "6200000000000005",
    "6205500000000000004",
    "6759649826438453",
)


def spellings(secret: str) -> list[str]:
    """As it is, in base64 at each of its three offsets, in hexadecimal, and as a URL writes it."""
    raw = secret.encode()
    found = {secret, raw.hex(), raw.hex().upper(), quote(secret, safe=""), quote_plus(secret)}
    for offset in range(3):
        for packed in (base64.b64encode(b"." * offset + raw), base64.urlsafe_b64encode(b"." * offset + raw)):
            # What stands at the edges depends on the neighbours.
            found.add(packed.decode().rstrip("=")[offset and 4 : -2])
    return sorted(form for form in found if len(form) >= 12)


def sightings(text: str, secrets: list[str] | tuple[str, ...]) -> list[str]:
    """The secrets that can be found in a text, with the spelling and what stands before."""
    return [
        f"{secret} as {form!r} after {text[max(text.index(form) - 60, 0) : text.index(form)]!r}"
        for secret in secrets
        for form in spellings(secret)
        if form in text
    ]

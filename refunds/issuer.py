"""The way to the identity provider: its own host only, over its own scheme; nothing is followed, no proxy is asked."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

Unreachable = requests.RequestException
PATIENCE = 10  # seconds for the connection, and again for each part of the answer


def is_issuers(url: str) -> bool:
    try:
        issuer, asked = urlsplit(settings.OIDC_ISSUER), urlsplit(url)
        where = (asked.scheme, asked.hostname, asked.port)
        return bool(asked.hostname) and where == (issuer.scheme, issuer.hostname, issuer.port)
    except ValueError:
        return False


class IssuerSession(requests.Session):
    """Refuses every other host before a byte leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        if not is_issuers(str(url)):
            raise requests.exceptions.InvalidURL("This address does not stand on the issuer's host.")
        return super().request(method, url, *args, **{**kwargs, "allow_redirects": False, "timeout": PATIENCE})

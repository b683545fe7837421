"""Posts one webhook, once."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Mapping
from urllib.error import URLError

USER_AGENT = "refund-desk-sandbox/0.1"
PATIENCE_SECONDS = 5


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects)


def post(url: str, headers: Mapping[str, str], body: bytes) -> bool:
    """True when it was taken (2xx)."""
    request = urllib.request.Request(url, body, {"User-Agent": USER_AGENT, **headers}, method="POST")
    try:
        with OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
            return bool(200 <= answer.status < 300)
    except (URLError, http.client.HTTPException, OSError, ValueError):
        return False

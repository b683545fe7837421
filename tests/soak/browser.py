"""A browser as far as the desk needs one: cookies, forms, one request at a time on a line of its own."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import dataclass
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

FIELD = re.compile(r"<(?:input|button)[^>]*>")
ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
PATIENCE = 60.0  # seconds; longer than the desk waits for its database
ACCIDENTS = (OSError, http.client.HTTPException)


class HungUp(OSError):
    """The page was closed before the answer came."""


@dataclass(frozen=True)
class Page:
    status: int
    location: str
    act: str
    text: str

    def hidden(self, name: str) -> str:
        """What a hidden field of the page carries, or ""."""
        for field in FIELD.findall(self.text):
            given = dict(ATTRIBUTE.findall(field))
            if given.get("name") == name:
                return unescape(given.get("value", ""))
        return ""


class Browser:
    """`ask` raises one of ACCIDENTS when no answer came: whatever was asked may have been done or not."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, *, hangs_up_after: float | None = None
    ) -> Page:
        line = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        try:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
            if fields is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            line.request(method, path, urlencode(fields) if fields is not None else None, headers)
            if hangs_up_after is not None:
                time.sleep(hangs_up_after)
                raise HungUp
            answer = line.getresponse()
            text = answer.read().decode()
        finally:
            line.close()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(cookie).items()}
        said = answer.headers
        return Page(answer.status, said.get("Location", ""), said.get("X-Request-ID", ""), text)

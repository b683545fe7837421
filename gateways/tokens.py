"""Access tokens that several calls share: kept in this process only, renewed before they end."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping

import jwt

from gateways.contract import fill
from gateways.errors import NoAnswer
from gateways.http import HttpClient, as_text
from gateways.reading import body_of, text_at, unreadable_is
from gateways.strictjson import parse

PLAIN_TOKEN = re.compile(r"\A[!-~]{1,8000}\Z", re.ASCII)
LIFE, EARLY = 300, 60  # seconds: of a token that names no end, and how long before its end it is renewed


class Tokens:
    """One token for each owner (what tells one set of credentials from another)."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[str, int]] = {}
        self._fetching: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    def get(self, owner: Hashable, fetch: Callable[[], str]) -> str:
        """The owner's token, fetched when there is none or it is about to end; whatever `fetch` raises goes through."""
        with self._fetching[owner]:
            token, ends = self._kept.get(owner, ("", 0))
            if time.time() >= ends - EARLY:
                token = fetch()
                self._kept[owner] = token, end_of(token)
        return token

    def forget(self, owner: Hashable, refused: str) -> None:
        """This token was refused: the next call fetches another, unless somebody has done so already."""
        with self._fetching[owner]:
            if self._kept.get(owner, ("", 0))[0] == refused:
                del self._kept[owner]


def fetch_token(http: HttpClient, settings: Mapping[str, str], values: Mapping[str, str]) -> str:
    """One call as TOKEN_METHOD, TOKEN_PATH, TOKEN_BODY and TOKEN_FIELD say. Raises NotSent or NoAnswer.

    TOKEN_BODY is JSON with {name} where a value goes, inside quotes.
    """
    body = fill(settings["TOKEN_BODY"], {name: json.dumps(text)[1:-1] for name, text in values.items()})
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = http.send(settings["TOKEN_METHOD"], settings["TOKEN_PATH"], headers=headers, body=body.encode())
    told = body_of(answer, "The gateway")
    http.hide(as_text(told))  # wherever the token may stand in it
    with unreadable_is(NoAnswer, "The answer to our asking for an access token"):
        token = text_at(parse(told), settings["TOKEN_FIELD"])
        if not PLAIN_TOKEN.match(token):
            raise ValueError(f"{settings['TOKEN_FIELD']} is missing or no token.")
    return token


def end_of(token: str) -> int:
    """The moment (seconds since 1970) that a JWT names as its `exp`; five minutes from now for anything else."""
    try:
        return int(jwt.decode(token, options={"verify_signature": False, "verify_exp": False})["exp"])
    except Exception:  # a token is opaque to us: one that we cannot look into is just renewed soon
        return int(time.time()) + LIFE

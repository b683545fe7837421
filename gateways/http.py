"""One HTTP call, once, with a hard end, that knows whether a byte left the house. It judges no answer."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote, quote_plus, unquote, urlsplit

import requests
from urllib3 import exceptions as urllib3_errors

from gateways import cards
from gateways.egress import checked_base_url, is_loopback
from gateways.errors import Misconfigured, NoAnswer, NotSent
from gateways.watch import Watch, WatchedAdapter

log = logging.getLogger(__name__)

USER_AGENT = "refund-desk/0.3"
LONGEST_WAIT = timedelta(minutes=15)
KEPT_CHARACTERS = 65_536
CHUNK = 16_384
MASK = "•••"
LATE = "the whole answer did not arrive in time"
SECRET_HEADERS = frozenset(
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "access-token", "api-key", "x-api-key"]
)
ACCIDENTS = (requests.RequestException, urllib3_errors.HTTPError, OSError)


@dataclass(frozen=True)
class Response:
    """What came back: header names in lower case, the body as decompressed bytes."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    elapsed: timedelta = timedelta()


@dataclass(frozen=True)
class Exchange:
    """One call for the record: secrets are masked, `status` is None and `accident` says why where no answer came."""

    method: str
    url: str
    request_headers: Mapping[str, str]
    request_body: str
    status: int | None
    response_headers: Mapping[str, str]
    response_body: str
    accident: str
    started_at: datetime
    elapsed_ms: int


class HttpClient:
    """Speaks to one base URL, one call at a time and on a fresh connection; follows nothing, repeats nothing.

    `not_after` (UTC) is the moment after which no order may leave any more. `exchanges` keeps every call.
    """

    def __init__(
        self,
        base_url: str,
        deadline: timedelta = timedelta(seconds=30),
        max_bytes: int = 262_144,
        secrets: Collection[str] = (),
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self.deadline = deadline
        self.max_bytes = max_bytes
        self.not_after: datetime | None = None
        self.exchanges: list[Exchange] = []
        self._secrets = spellings(secrets)

    def __repr__(self) -> str:
        return f"HttpClient({self.base_url!r})"

    def hide(self, secret: str) -> None:
        """Keep a secret that was learned on the way, such as an access token, out of the record, also in hindsight."""
        self._secrets = spellings([*self._secrets, secret])
        self.exchanges = [
            replace(
                one,
                url=self._hide(one.url),
                request_headers=self._hide_headers(one.request_headers),
                request_body=self._hide(one.request_body),
                response_headers=self._hide_headers(one.response_headers),
                response_body=self._hide(one.response_body),
                accident=self._hide(one.accident),
            )
            for one in self.exchanges
        ]

    def send(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """Send exactly these bytes. Raises NotSent (safe to repeat), NoAnswer (ask first) or Misconfigured."""
        request = self._prepare(method, path, headers, body)
        started_at, started = datetime.now(UTC), time.monotonic()
        response: Response | None = None
        accident = ""
        try:
            response = self._call(request, started)
            return response
        except (NotSent, NoAnswer) as error:
            accident = str(error)
            raise
        finally:
            elapsed = timedelta(seconds=time.monotonic() - started)
            self.exchanges.append(exchange := self._exchange(request, response, accident, started_at, elapsed))
            log.info("%s", summary(exchange), extra={"host": urlsplit(self.base_url).hostname or ""})

    def _prepare(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> requests.PreparedRequest:
        if not self.base_url:
            raise Misconfigured("There is no URL to call: set it in the account's settings.")
        named = {"User-Agent": USER_AGENT, "Connection": "close", **headers}
        try:
            request = requests.Request(method, self.base_url + path, headers=named, data=body).prepare()
            home = requests.Request(method, self.base_url).prepare().url or ""
        except (requests.RequestException, UnicodeError):
            # The library's own words would show the header, and with it the secret.
            raise Misconfigured("A setting or an address cannot be written into an HTTP request.") from None
        if not stays_at(request.url or "", home, path):
            raise Misconfigured("A setting or an id would lead the call to another address than the account's URL.")
        return request

    def _call(self, request: requests.PreparedRequest, started: float) -> Response:
        watch = Watch(self.deadline, self.not_after)
        host = urlsplit(self.base_url).hostname or ""
        try:
            with watch:
                # The adapter alone, not a session: no environment, no cookies, no redirects, no retries.
                answer = WatchedAdapter(watch).send(request, stream=True, timeout=watch.remaining(), verify=True)
                with answer:
                    body = b"".join(self._read(answer, watch))
        except UnicodeError:  # raised while the request is written, and its own words would show the secret
            accident = NoAnswer if watch.is_begun else NotSent
            raise accident("A setting cannot be written into an HTTP request.") from None
        except ACCIDENTS as error:
            if not watch.is_begun:
                raise NotSent(f"Nothing was sent: {why_not_sent(error, host)}.") from error
            raise NoAnswer(
                f"The order went out, but {LATE if watch.is_over else why_no_answer(error, host)}."
            ) from error
        headers = {name.lower(): text for name, text in answer.headers.items()}
        return Response(answer.status_code, headers, body, timedelta(seconds=time.monotonic() - started))

    def _read(self, answer: requests.Response, watch: Watch) -> Iterator[bytes]:
        size = 0
        for chunk in answer.raw.stream(CHUNK, decode_content=True):
            size += len(chunk)
            if size > self.max_bytes:
                raise NoAnswer(f"The order went out, but the answer is larger than {self.max_bytes} bytes.")
            yield chunk
        if watch.is_over:  # a connection that we cut ourselves can look like a complete answer
            raise NoAnswer(f"The order went out, but {LATE}.")

    def _exchange(
        self,
        request: requests.PreparedRequest,
        response: Response | None,
        accident: str,
        started_at: datetime,
        elapsed: timedelta,
    ) -> Exchange:
        sent = request.body if isinstance(request.body, bytes) else b""
        return Exchange(
            method=request.method or "",
            url=self._hide(request.url or ""),
            request_headers=self._hide_headers(request.headers),
            request_body=self._hide(as_text(sent)),
            status=response.status if response else None,
            response_headers=self._hide_headers(response.headers if response else {}),
            response_body=self._hide(as_text(response.body if response else b"")),
            accident=self._hide(accident),
            started_at=started_at,
            elapsed_ms=elapsed // timedelta(milliseconds=1),
        )

    def _hide_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {
            name: MASK if name.lower() in SECRET_HEADERS else self._hide(as_text(text))
            for name, text in headers.items()
        }

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return cards.masked(text)


def summary(call: Exchange) -> str:
    """One call for the log: its host and never its path, which may name a payment or be a secret."""
    became = call.status if call.status is not None else call.accident or "cut short"
    return f"{call.method} at {urlsplit(call.url).hostname}: {became} after {call.elapsed_ms} ms"


def stays_at(url: str, home: str, path: str) -> bool:
    """Does the whole address stay below the account's own: the same host and port, and no way back up?"""
    ours, theirs = urlsplit(home), urlsplit(url)
    steps = re.split(r"[/\\]", unquote(path.partition("?")[0]))
    is_same = (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)
    return is_same and path.startswith("/") and not {".", ".."} & set(steps)


def can_be_called_back(url: str) -> bool:
    """May a gateway be given this address: https, or this machine in a sandbox?"""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return url.isascii() and bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def retry_after(text: str, now: datetime | None = None) -> timedelta | None:
    """How long a Retry-After header asks us to wait, at most 15 minutes; None for anything unreadable or past."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
        wait = until.replace(tzinfo=until.tzinfo or UTC) - (now or datetime.now(UTC))
    except (ValueError, OverflowError):
        return None
    return min(wait, LONGEST_WAIT) if wait > timedelta() else None


def spellings(secrets: Collection[str]) -> list[str]:
    """Each secret as it is and as a URL or form would write it, the longest first; very short ones hide nothing."""
    long_enough = [secret for secret in secrets if len(secret) >= 6]
    every = {form for secret in long_enough for form in (secret, quote(secret, safe=""), quote_plus(secret))}
    return sorted(every, key=len, reverse=True)


def as_text(raw: str | bytes) -> str:
    """Bytes for the record: unreadable ones replaced, NUL too (PostgreSQL keeps none), the end cut off."""
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    return text[:KEPT_CHARACTERS].replace("\0", "\ufffd")


def why_not_sent(error: BaseException, host: str) -> str:
    cause = root(error)
    if isinstance(cause, urllib3_errors.NameResolutionError):
        return f"the name {host} is not known to the network"
    if isinstance(cause, urllib3_errors.SSLError):
        return f"{host} could not prove that it is {host} (TLS handshake failed)"
    if isinstance(cause.__cause__, ConnectionRefusedError):
        return f"{host} refused the connection"
    if isinstance(cause, urllib3_errors.TimeoutError):
        return f"{host} did not accept the connection in time"
    return f"no connection to {host} could be made"


def why_no_answer(error: BaseException, host: str) -> str:
    cause = root(error)
    if isinstance(cause, urllib3_errors.DecodeError):
        return f"the answer of {host} could not be unpacked"
    if isinstance(cause, urllib3_errors.TimeoutError):
        return f"{host} did not answer in time"
    if isinstance(cause, urllib3_errors.IncompleteRead) or "IncompleteRead" in str(cause):
        return f"the answer of {host} broke off"
    return f"{host} closed the connection without a readable answer"


def root(error: BaseException) -> BaseException:
    """What the libraries wrapped: requests keeps the cause in args, urllib3 in `reason`."""
    if isinstance(error, requests.RequestException) and error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return getattr(error, "reason", None) or error

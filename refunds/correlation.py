"""Which act we are in: one request, one job or one command. Its name stands in each journal and log line it writes.

A job also knows its origin, the act from which it follows, over however many jobs; `about` names what we work on.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from types import MappingProxyType

from django.http import HttpRequest, HttpResponse

Span = Callable[[str], AbstractContextManager[object]]

_act: ContextVar[str] = ContextVar("act", default="")
_origin: ContextVar[str] = ContextVar("origin", default="")
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))
_span: list[Span] = [lambda name: nullcontext()]


def current() -> str:
    """The name (32 hexadecimal digits) of the act that we are in; "" outside of any."""
    return _act.get()


def origin() -> str:
    """The name of the act with which this began: a click, a webhook, a command; often the act itself. "" without."""
    return _origin.get() or _act.get()


@contextmanager
def act(follows: str = "") -> Iterator[str]:
    """Everything in this block is one act, which follows from another; within another one it stays that one."""
    if _act.get():
        yield _act.get()
        return
    tokens = _act.set(secrets.token_hex(16)), _origin.set(follows)
    try:
        yield _act.get()
    finally:
        _act.reset(tokens[0])
        _origin.reset(tokens[1])


@contextmanager
def about(**what: str) -> Iterator[None]:
    """Log lines in this block name what they are about: a refund by its number, an account by its name."""
    token = _about.set({**_about.get(), **what})
    try:
        yield
    finally:
        _about.reset(token)


def what_about() -> Mapping[str, str]:
    return _about.get()


def trace_with(span: Span) -> None:
    """From now on, work that is no request is a span of this tracer, too."""
    _span[0] = span


def span(name: str) -> AbstractContextManager[object]:
    """A stretch of work for whoever traces; nothing without a tracer."""
    return _span[0](name)


def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """One act for each request. Its name is ours, never the caller's, and goes back as X-Request-ID."""

    def answer(request: HttpRequest) -> HttpResponse:
        with act() as name:
            response = get_response(request)
        response["X-Request-ID"] = name
        return response

    return answer


class Stamp(logging.Filter):
    """Gives every log record the act it was written in, the origin of that, and what it is about."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.act = current() or "-"
        if origin() != current():
            record.origin = origin()
        for name, text in what_about().items():
            if not hasattr(record, name):
                setattr(record, name, text)
        return True

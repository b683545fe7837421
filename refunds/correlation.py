"""Which act we are in: one request, one job or one command. Its name stands in each journal and log line it writes."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

_act: ContextVar[str] = ContextVar("act", default="")


def current() -> str:
    """The name (32 hexadecimal digits) of the act that we are in; "" outside of any."""
    return _act.get()


@contextmanager
def act() -> Iterator[str]:
    """Everything in this block is one act; within another one it stays that one."""
    if _act.get():
        yield _act.get()
        return
    token = _act.set(uuid.uuid4().hex)
    try:
        yield _act.get()
    finally:
        _act.reset(token)


def middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """One act for each request. Its name is ours, never the caller's, and goes back as X-Request-ID."""

    def answer(request: HttpRequest) -> HttpResponse:
        with act() as name:
            response = get_response(request)
        response["X-Request-ID"] = name
        return response

    return answer


class Stamp(logging.Filter):
    """Gives every log record the act it was written in."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.act = current() or "-"
        return True

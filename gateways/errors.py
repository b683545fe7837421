"""The accidents that can happen between us and a gateway. A gateway's "no" is an answer, not an accident."""

from __future__ import annotations

from datetime import timedelta


class GatewayError(Exception):
    """Anything below: the text is written for the person who reads the journal."""


class NotSent(GatewayError):
    """Not a byte of the order reached the gateway: sending it again is safe.

    `retry_after` is how long they asked us to wait, if they said so.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoAnswer(GatewayError):
    """The order may or may not have been carried out: ask before anything else.

    `retry_after` is how long they asked us to wait, if they said so.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadWebhook(GatewayError):
    """A delivery whose signature or shape is not the gateway's: nothing in it is believed."""


class Misconfigured(GatewayError):
    """A setting is missing or cannot be right; the text says which and what to do."""

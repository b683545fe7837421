"""Our own refusals. Each text is shown as it is, so it is written for the person who clicked."""

from __future__ import annotations

from django.utils.translation import gettext as _

from gateways.money import NotMoney


def in_words(trouble: ValueError) -> str:
    """What cannot be used as money, in the reader's language."""
    return _(trouble.sentence) % trouble.values if isinstance(trouble, NotMoney) else str(trouble)


class RefundError(Exception):
    """A step was refused and nothing has changed."""


class NotAllowed(RefundError):
    """This person may not do this."""


class SamePerson(NotAllowed):
    """Two people are needed, and this is one of them already."""


class WrongMoment(RefundError):
    """The refund or payment is no longer what the person was looking at."""


class TooMuch(RefundError):
    """More than the payment has free."""


class OverLimit(RefundError):
    """More than this person may, at once or on one day."""


class NotRefundable(RefundError):
    """This payment cannot be refunded now, or its gateway cannot carry this order."""


class BadInput(RefundError):
    """Something that was typed cannot be used; the text says what."""

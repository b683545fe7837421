"""Text that people type: what it may not hold, and how much of it there may be."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways import cards
from refunds.errors import BadInput
from refunds.models import Payment, Refund, UnmatchedRefund

LONGEST_TEXT = 2000
CARD = gettext_lazy(
    "This holds what looks like a card number, and those must not be kept here. "
    "Take it out, or write only its first six and last four digits."
)


def spoken(text: str, otherwise: str) -> str:
    """The text without blanks around it; `otherwise` is what we say when nothing is left."""
    if not text.strip():
        raise BadInput(otherwise)
    if "\0" in text or len(text) > LONGEST_TEXT:
        raise BadInput(_("Write at most %(longest)s characters of plain text.") % {"longest": LONGEST_TEXT})
    return without_cards(text.strip())


def without_cards(text: str) -> str:
    """The same text. Raises BadInput for one with a card number in it."""
    if cards.has_number(text):
        raise BadInput(CARD)
    return text


def to_hand_out(text: str) -> bytes:
    """Text for a file that leaves the house: card numbers masked, and what UTF-8 cannot say spelled out."""
    return cards.masked(text).encode(errors="backslashreplace")


def searches_for_a_card(text: str) -> bool:
    """Whether a search term is a card number, and not a name of something that merely looks like one."""
    if not cards.has_number(text):
        return False
    term = text.strip()
    rows = (
        Payment.objects.filter(Q(reference=term) | Q(order=term)),
        Refund.objects.filter(Q(reference=term) | Q(identifiers__contains=term)),
        UnmatchedRefund.objects.filter(Q(reference=term) | Q(key=term) | Q(payment_reference=term)),
    )
    return not any(found.exists() for found in rows)

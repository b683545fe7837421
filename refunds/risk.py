"""What makes a waiting refund worth an early look: a few plain signs, each with the words that a person reads.

Each sign is a bit of one number, the gravest the highest: the number sorts the line, and tells which signs there are.
Currencies are never converted: an amount is large by what LARGE_REFUNDS says of its own currency.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Case, Exists, IntegerField, OuterRef, Q, QuerySet, Value, When
from django.utils.translation import gettext as _

from gateways.money import Money
from refunds import scope, services
from refunds.errors import BadInput
from refunds.models import Refund

VERY_LARGE, ALIKE, LARGE, NEW_REQUESTER = 8, 4, 2, 1
TIMES = 10  # very large is so many times large
FIRST = 5  # the first refunds that a person ever asks for


def sizes() -> dict[str, Money]:
    """From which amount on a refund of each currency is large. Raises BadInput for a setting that cannot be read."""
    found = {}
    for entry in settings.LARGE_REFUNDS:
        currency, _colon, amount = entry.strip().partition(":")
        try:
            found[currency] = Money.parse(amount, currency)
        except ValueError as wrong:
            raise BadInput(f"LARGE_REFUNDS has {entry!r}: write currency:amount, like EUR:500. {wrong}") from None
    return found


def judged(refunds: QuerySet[Refund], user: User) -> QuerySet[Refund]:
    """The refunds, each with its `risk`; of accounts that this person does not see nothing is told."""
    size = _points((VERY_LARGE, _reaches(TIMES)), (LARGE, _reaches(1)))
    alike = _points((ALIKE, services.likely_duplicate(user)))
    return refunds.annotate(risk=size + alike + _points((NEW_REQUESTER, ~Exists(_fifth_before(user)))))


def signs(refund: Refund) -> list[str]:
    """Why a refund that has been judged stands where it stands, the gravest first."""
    told = {"currency": refund.payment.currency, "number": FIRST, "who": refund.requested_by}
    words = {
        VERY_LARGE: _("very large for %(currency)s") % told,
        ALIKE: _("looks like another refund") % told,
        LARGE: _("large for %(currency)s") % told,
        NEW_REQUESTER: _("among the first %(number)d of %(who)s") % told,
    }
    risk = getattr(refund, "risk", 0)
    return [said for bit, said in words.items() if risk & bit]


def _points(*signs: tuple[int, Any]) -> Case:
    """What the first of these signs that is there counts."""
    whens = [When(sign, then=Value(bit)) for bit, sign in signs]
    return Case(*whens, default=Value(0), output_field=IntegerField())


def _reaches(times: int) -> Q:
    """Whether the amount reaches so many times what is large for its currency."""
    reached = Q(pk__in=())
    for currency, large in sizes().items():
        reached |= Q(payment__currency=currency, amount__gte=large.minor * times)
    return reached


def _fifth_before(user: User) -> QuerySet[Refund]:
    """The fifth refund that this user may know of and that the same person had asked for before this one."""
    known = scope.within(Refund.objects.all(), user)
    earlier = known.filter(requested_by=OuterRef("requested_by"), requested_at__lt=OuterRef("requested_at"))
    return earlier.order_by("requested_at")[FIRST - 1 : FIRST]

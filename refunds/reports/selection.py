"""What a report is about: a span of days in a time zone, of one mode, maybe one account, maybe one currency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta, tzinfo

from django.db.models import Q, QuerySet

from refunds.models import Account, Refund
from refunds.preferences import midnight

MOST_DAYS = 366


@dataclass(frozen=True)
class Selection:
    """From the beginning of the first day to the end of the last one, as this time zone has them."""

    first: date
    last: date
    zone: tzinfo
    account: Account | None = None
    currency: str = ""
    mode: str = ""  # empty only where there is but one

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    def during(self, moment: str) -> Q:
        """The rows whose column `moment` lies in these days."""
        end = midnight(self.last + timedelta(days=1), self.zone)
        return Q(**{f"{moment}__gte": midnight(self.first, self.zone), f"{moment}__lt": end})

    def of(self, refunds: QuerySet[Refund]) -> QuerySet[Refund]:
        """Those of the mode, the account and the currency that were chosen."""
        if self.account:
            refunds = refunds.filter(account=self.account)
        if self.mode:
            refunds = refunds.filter(account__mode=self.mode)
        return refunds.filter(payment__currency=self.currency) if self.currency else refunds

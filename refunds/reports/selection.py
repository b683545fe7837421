"""What a report is about: a span of days in a time zone, maybe one account, maybe one currency."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from django.db.models import Q, QuerySet
from django.utils import timezone

from refunds.models import Account, Refund

MOST_DAYS = 366


@dataclass(frozen=True)
class Selection:
    """From the beginning of the first day to the end of the last one, as this time zone has them."""

    first: date
    last: date
    zone: tzinfo
    account: Account | None = None
    currency: str = ""

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    def during(self, moment: str) -> Q:
        """The rows whose column `moment` lies in these days."""
        end = self._midnight(self.last + timedelta(days=1))
        return Q(**{f"{moment}__gte": self._midnight(self.first), f"{moment}__lt": end})

    def _midnight(self, day: date) -> datetime:
        return timezone.make_aware(datetime.combine(day, time()), self.zone)

    def of(self, refunds: QuerySet[Refund]) -> QuerySet[Refund]:
        """Those of the account and the currency that were chosen."""
        if self.account:
            refunds = refunds.filter(account=self.account)
        return refunds.filter(payment__currency=self.currency) if self.currency else refunds

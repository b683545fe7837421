"""What a person limited to some accounts gets to see: of everything else not even that it exists."""

from __future__ import annotations

from typing import TypeVar

from django.contrib.auth.models import User
from django.db.models import Model, QuerySet

from refunds.models import Account, Scope

Row = TypeVar("Row", bound=Model)


def limited_to(user: User) -> list[int] | None:
    """Ids of the accounts that this person is limited to; None where there is no limit."""
    return list(Scope.objects.filter(person=user).order_by("account").values_list("account_id", flat=True)) or None


def within(rows: QuerySet[Row], user: User, path: str = "account") -> QuerySet[Row]:
    """The rows that this person may know of; `path` leads from a row to its account."""
    return among(rows, limited_to(user), path)


def among(rows: QuerySet[Row], accounts: list[int] | None, path: str = "account") -> QuerySet[Row]:
    """The same for a page that asks once what a person is limited to, and then looks for many things."""
    return rows if accounts is None else rows.filter(**{f"{path}__in": accounts})


def modes(limit: list[int] | None) -> list[str]:
    """Of the accounts that somebody is limited to, or of all: live, sandbox, or both."""
    accounts = among(Account.objects.all(), limit, "pk")
    return sorted(set(accounts.order_by().values_list("mode", flat=True).distinct()))


def includes(user: User, account: Account) -> bool:
    accounts = limited_to(user)
    return accounts is None or account.pk in accounts

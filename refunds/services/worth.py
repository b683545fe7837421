"""Whether a notice is still worth sending at the moment when it could be: true, and this person's to know."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Exists, OuterRef, Q

from refunds import policy, scope
from refunds.models import Approval, How, Notice, Preference, Refund, Status

Kind = Notice.Kind
VIEW = "refunds.view_refund"

# In which status of its refund a notice is still true.
STANDS: dict[str, tuple[Status, ...]] = {
    Kind.RETURNED: (Status.RETURNED,),
    Kind.REJECTED: (Status.REJECTED,),
    Kind.FAILED: (Status.FAILED,),
    Kind.SUCCEEDED: (Status.SUCCEEDED,),
    Kind.REVERSED: (Status.REVERSED,),
}


def preference_of(person: User) -> Preference:
    """This person's wishes, or those of somebody who has never said any."""
    return getattr(person, "preference", None) or Preference(person=person)


def how(wishes: Preference, kind: str) -> How:
    return How(wishes.to_decide if kind == Kind.TO_DECIDE else wishes.own)


def whys_not(person: User, rows: Sequence[Notice]) -> dict[int, str]:
    """For each row, why this person is not told of it now, or ""."""
    if why := _why_nothing(person):
        return {row.pk: why for row in rows}
    accounts, wishes = scope.limited_to(person), preference_of(person)
    to_decide, outdated = decidable(person, rows), _outdated(rows)
    return {row.pk: _why_not(row, wishes, accounts, to_decide) or outdated.get(row.pk, "") for row in rows}


def _why_nothing(person: User) -> str:
    if not settings.SENDS_MAIL:
        return "No mail server is named any more."
    if not policy.may(person, VIEW) or not person.is_staff:
        return "This person may see no refunds."
    try:
        validate_email(person.email)
    except ValidationError:
        return "This person has no e-mail address."
    return ""


def _why_not(row: Notice, wishes: Preference, accounts: list[int] | None, to_decide: set[int]) -> str:
    refund = row.refund
    if refund is None or (accounts is not None and row.account_id not in accounts):
        return "This person does not work with the account."
    if how(wishes, row.kind) == How.OFF or row.kind in wishes.not_about:
        return "This person does not want it."
    if row.kind == Kind.TO_DECIDE:
        return "" if refund.pk in to_decide else "It does not wait for this person any more."
    if row.kind == Kind.ATTENTION:
        stands = bool(refund.needs_attention) or refund.status == Status.UNKNOWN
    else:
        stands = refund.status in STANDS[row.kind]
    return "" if stands else "It is no longer true."


def decidable(person: User, rows: Sequence[Notice]) -> set[int]:
    """Of the refunds that these rows say wait for a decision, those that wait for this person's."""
    named = [row.refund_id for row in rows if row.refund_id and row.kind == Kind.TO_DECIDE]
    if not named or not policy.may(person, policy.APPROVE):
        return set()
    part = Approval.objects.filter(refund=OuterRef("pk"), revision=OuterRef("revision"))
    has_part = Exists(part.filter(Q(approver=person) | Q(acting_for=person)))
    waiting = Refund.objects.filter(pk__in=named, status=Status.REQUESTED).exclude(requested_by=person)
    return set(waiting.exclude(has_part).values_list("pk", flat=True))


def _outdated(rows: Sequence[Notice]) -> dict[int, str]:
    """Of several calls to one refund, and of several rounds before its approvers, the last one says it all."""
    last: dict[tuple[int | None, str], int] = {(row.refund_id, row.kind): row.pk for row in rows}
    return {row.pk: "A later notice says it." for row in rows if last[row.refund_id, row.kind] != row.pk}

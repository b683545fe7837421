"""Refunds that a gateway shows and that may be anybody's: kept, matched by a later word, or by a person."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.contract import RefundUpdate
from gateways.registry import gateway_class
from refunds import policy
from refunds.errors import BadInput, WrongMoment
from refunds.models import Account, Attempt, Delivery, Payment, Refund, Status, UnmatchedRefund
from refunds.models.refund import AWAITING
from refunds.services.actor import Actor
from refunds.services.orders import first_that_left
from refunds.services.steps import locked, take_step
from refunds.services.typed import spoken

MOST_SUGGESTED = 5
LONGEST_REFERENCE = 100
MATCH = gettext_lazy("match what a gateway shows")


@dataclass(frozen=True)
class Suggestion:
    """A refund of ours that it could be, and what speaks for it."""

    refund: Refund
    why: str
    weight: int


def keep_unmatched(
    account: Account,
    update: RefundUpdate,
    why: str,
    *,
    payment: Payment | None = None,
    delivery: Delivery | None = None,
) -> UnmatchedRefund:
    """Put it on the list, once however often they show it; what a person has found to be none of ours stays off it."""
    names = {
        "account": account,
        "payment_reference": update.payment_reference or (payment.reference if payment else ""),
        "reference": update.reference,
        "key": update.key,
    }
    dismissed = UnmatchedRefund.objects.filter(**names, settled_by__isnull=False, settled_as=None)
    if (update.reference or update.key) and (row := dismissed.first()):
        return row
    return UnmatchedRefund.objects.get_or_create(
        **names,
        settled_at=None,
        defaults={
            "payment": payment,
            "delivery": delivery,
            "source": UnmatchedRefund.Source.WEBHOOK if delivery else UnmatchedRefund.Source.LOOK_UP,
            "amount": update.amount.minor if update.amount and abs(update.amount.minor) < 2**63 else None,
            "currency": update.amount.currency if update.amount else "",
            "outcome": update.outcome,
            "why": why[:300],
            "seen_at": timezone.now(),
        },
    )[0]


def settle_unmatched(refund: Refund) -> None:
    """It has turned out to be this refund: its rows leave the list."""
    names = Q(reference=refund.reference) if refund.reference else Q(pk__in=())
    rows = UnmatchedRefund.objects.filter(names | Q(key=str(refund.key)), account=refund.account, settled_at=None)
    rows.update(settled_at=timezone.now(), settled_as=refund)


def suggestions(row: UnmatchedRefund) -> list[Suggestion]:
    """Refunds of ours that it could be, the likeliest first."""
    theirs = Q(account=row.account, reference="", status__in=AWAITING)
    near = Q(payment__reference=row.payment_reference) if row.payment_reference else Q(amount=row.amount)
    found = Refund.objects.filter(theirs & near).select_related("payment__account", "account")[:50]
    likely = [refund for refund in found if not stood_there_before(refund, row.reference)]
    return sorted((_weighed(refund, row) for refund in likely), key=lambda one: -one.weight)[:MOST_SUGGESTED]


def best_suggestions(rows: Sequence[UnmatchedRefund]) -> dict[int, Suggestion]:
    """The likeliest refund for each of these rows that wait, by the row's id; two questions however many rows."""
    waiting = [row for row in rows if not row.settled_at]
    payments = {row.payment_reference for row in waiting if row.payment_reference}
    amounts = {row.amount for row in waiting if not row.payment_reference and row.amount is not None}
    theirs = Q(account__in={row.account_id for row in waiting}, reference="", status__in=AWAITING)
    near = Q(payment__reference__in=payments) | Q(amount__in=amounts)
    found = list(Refund.objects.filter(theirs & near).select_related("payment__account", "account")[:500])
    listed = listed_before(found)
    best = {}
    for row in waiting:
        likely = [_weighed(refund, row) for refund in found if _is_near(refund, row, listed)]
        if likely:
            best[row.pk] = max(likely, key=lambda one: one.weight)
    return best


def _is_near(refund: Refund, row: UnmatchedRefund, listed: dict[int, Container[str]]) -> bool:
    if refund.account_id != row.account_id or row.reference in listed.get(refund.pk, ()):
        return False
    return refund.payment.reference == row.payment_reference if row.payment_reference else refund.amount == row.amount


def _weighed(refund: Refund, row: UnmatchedRefund) -> Suggestion:
    signs = (
        (4, _("same payment"), refund.payment.reference == row.payment_reference),
        (2, _("same amount"), refund.amount == row.amount and refund.payment.currency == row.currency),
        (1, _("nobody knows what became of it"), refund.status == Status.UNKNOWN),
    )
    holding = [(n, text) for n, text, holds in signs if holds]
    return Suggestion(refund, ", ".join(text for n, text in holding), sum(n for n, text in holding))


@transaction.atomic
def name_reference(refund_id: int, by: User, reference: str, *, seen: int) -> Refund:
    """A person has found it in the gateway's own screens; the look-up by that reference then says what became of it."""
    policy.demand(by, policy.DECLARE, _("name the gateway's reference of a refund"))
    refund = locked(refund_id, seen, by)
    policy.demand_another_person(by, refund, _("name the reference of"))
    if why := why_no_name(refund):
        raise WrongMoment(why)
    reference = reference.strip()
    if not reference or len(reference) > LONGEST_REFERENCE or not (reference.isprintable() and reference.isascii()):
        as_shown = _("Write the reference as the gateway shows it, at most %(longest)s characters.")
        raise BadInput(as_shown % {"longest": LONGEST_REFERENCE})
    if reference in (str(refund.key), refund.number, refund.payment.reference):
        own = _("%(reference)s is our own name, or the payment's. Write the one that the gateway gave to the refund.")
        raise BadInput(own % {"reference": reference})
    if stood_there_before(refund, reference):
        older = _("The gateway showed %(reference)s before we asked for %(refund)s, so it is another refund.")
        raise BadInput(older % {"reference": reference, "refund": refund})
    text = f"Found at the gateway as {reference}. We look it up."
    now = timezone.now()
    try:
        with transaction.atomic():
            take_step(
                refund,
                "found there",
                Actor.person(by),
                text=text,
                reference=reference,
                identifiers=f"{refund.identifiers} {reference}".strip(),
                ask_at=now,
                asks=0,
                needs_attention=refund.needs_attention if refund.payment.is_over_committed else "",
            )
    except IntegrityError:
        raise WrongMoment(
            _("The reference %(reference)s belongs to another refund already.") % {"reference": reference}
        ) from None
    settle_unmatched(refund)
    return refund


def why_no_name(refund: Refund) -> str:
    """Why a reference typed by a person would help nothing here, or ""."""
    kind = gateway_class(refund.account.gateway)
    if not kind.can.proves_reference:
        return _(
            "%(label)s does not show enough to prove that a reference is this refund's. Two people declare it."
        ) % {"label": kind.label}
    if refund.status != Status.UNKNOWN or not refund.sent_at:
        return _("%(refund)s is %(status)s: only what is unknown is looked for by hand.") % {
            "refund": refund,
            "status": refund.get_status_display(),
        }
    return ""


@transaction.atomic
def match_unmatched(row_id: int, refund_id: int, by: User, *, seen: int) -> Refund:
    """A person says which refund of ours it is; the gateway is then asked about it by that name."""
    policy.demand(by, policy.DECLARE, str(MATCH))
    refund = locked(refund_id, seen, by)
    row = _open_row(row_id, by)
    if why := why_no_match(row, refund):
        raise BadInput(why)
    refund = name_reference(refund.pk, by, row.reference, seen=seen)
    UnmatchedRefund.objects.filter(pk=row.pk).update(settled_by=by)
    return refund


def stood_there_before(refund: Refund, reference: str) -> bool:
    """Whether our own record shows that this refund of theirs is older than our order."""
    sent = first_that_left(refund)
    return sent is not None and reference in _shown(sent)


def listed_before(refunds: Sequence[Refund]) -> dict[int, Container[str]]:
    """What they showed before we first asked for each of these, by the refund's id."""
    listed: dict[int, Container[str]] = {}
    sends = Attempt.objects.filter(refund__in=refunds, kind=Attempt.Kind.SEND).order_by("pk")
    for attempt in sends.exclude(outcome=Attempt.Outcome.NOT_SENT):
        listed.setdefault(attempt.refund_id, _shown(attempt))
    return listed


def _shown(sent: Attempt) -> Container[str]:
    listed = sent.before.get("references")
    return listed if isinstance(listed, list | tuple) else ()


def why_no_match(row: UnmatchedRefund, refund: Refund) -> str:
    """Why this cannot be that refund of ours, or cannot be asked about as such, or ""."""
    of_another_payment = row.payment_reference and row.payment_reference != refund.payment.reference
    if refund.account_id != row.account_id or of_another_payment:
        return _("%(refund)s belongs to another account or payment.") % {"refund": refund}
    if row.amount is not None and (row.amount, row.currency) != (refund.amount, refund.payment.currency):
        return _("%(refund)s is of another amount.") % {"refund": refund}
    if not row.reference:
        return _("The gateway gave it no reference to ask by.")
    if stood_there_before(refund, row.reference):
        return _("The gateway showed it before we asked for %(refund)s.") % {"refund": refund}
    return why_no_name(refund)


@transaction.atomic
def dismiss_unmatched(row_id: int, by: User, note: str) -> UnmatchedRefund:
    """It is none of ours: it leaves the list, with the reason."""
    row = _open_row(row_id, by)
    row.note, row.settled_at, row.settled_by = spoken(note, _("Say why it is none of ours."))[:300], timezone.now(), by
    row.save(update_fields=["note", "settled_at", "settled_by"])
    return row


def _open_row(row_id: int, by: User) -> UnmatchedRefund:
    policy.demand(by, policy.DECLARE, str(MATCH))
    row = UnmatchedRefund.objects.select_for_update(of=("self",)).get(pk=row_id)
    if row.settled_at:
        raise WrongMoment(_("It has left the list already."))
    policy.demand_in_scope(by, row.account)
    return row

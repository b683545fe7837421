"""Declaring what became of a refund where no gateway can tell: one person proposes, another confirms."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from gateways.registry import gateway_class
from refunds import policy
from refunds.errors import BadInput, NotRefundable, SamePerson, WrongMoment
from refunds.models import Attempt, Declaration, Refund
from refunds.models.refund import AWAITING
from refunds.services import evidence_files
from refunds.services.actor import Actor
from refunds.services.again import can_be_asked, is_made_by_hand
from refunds.services.journal import in_english
from refunds.services.orders import gateway_for
from refunds.services.steps import locked, take_step
from refunds.services.typed import spoken, without_cards
from refunds.services.unmatched import settle_unmatched

Outcome = Declaration.Outcome


@transaction.atomic
def propose_outcome(
    refund_id: int,
    by: User,
    outcome: str,
    note: str,
    *,
    seen: int,
    ticket: str = "",
    reference: str = "",
    evidence: UploadedFile | None = None,
) -> Declaration:
    """One person's word, with a note and evidence or a ticket. Nothing moves until another person confirms it."""
    policy.demand(by, policy.DECLARE, _("declare what became of a refund"))
    refund = locked(refund_id, seen, by)
    _demand_undeclared(refund)
    note = spoken(note, _("Write down how you know."))
    ticket, reference = without_cards(ticket.strip()), reference.strip()
    _demand_evidence(refund, outcome, ticket, reference, evidence)
    _end_void_proposals(refund)
    with in_english():
        text = f"Proposed: {Outcome(outcome).label}. {note}"
    take_step(refund, "outcome proposed", Actor.person(by), text=text, data={"outcome": outcome})
    return Declaration.objects.create(
        refund=refund,
        outcome=outcome,
        version=refund.version,
        note=note,
        ticket=ticket,
        reference=reference,
        evidence=evidence or "",
        evidence_name=evidence_files.shown_name(evidence.name or "") if evidence else "",
        proposed_by=by,
        proposed_at=timezone.now(),
    )


def _demand_undeclared(refund: Refund) -> None:
    if refund.status not in AWAITING:
        raise WrongMoment(
            _("%(refund)s is %(status)s, so there is nothing to declare.")
            % {"refund": refund, "status": refund.get_status_display()}
        )
    if standing := open_declaration(refund):
        raise WrongMoment(
            _("%(proposed_by)s has proposed already: %(outcome)s.")
            % {"proposed_by": standing.proposed_by, "outcome": standing.get_outcome_display()}
        )


@transaction.atomic
def confirm_outcome(refund_id: int, by: User, *, seen: int) -> Refund:
    """Unknown or processing → succeeded or failed, by the word of a second person."""
    policy.demand(by, policy.DECLARE, _("confirm what became of a refund"))
    refund = locked(refund_id, seen, by)
    declaration = open_declaration(refund)
    if declaration is None:
        raise WrongMoment(_("Nothing is proposed about %(refund)s as it stands now.") % {"refund": refund})
    _demand_confirmable(declaration, refund, by)
    now = timezone.now()
    with in_english():
        said = Outcome(declaration.outcome).label.capitalize()
    text = f"{said}, as {declaration.proposed_by} proposed: {declaration.note}"
    learned = {"reference": declaration.reference} if declaration.reference and not refund.reference else {}
    changes: dict[str, Any] = {**learned, **_then(refund, declaration, now), "final_at": now, "needs_attention": ""}
    try:
        with transaction.atomic():
            take_step(
                refund,
                "declared",
                Actor.person(by),
                move=refund.succeed if declaration.outcome == Outcome.SUCCEEDED else refund.fail,
                text=text,
                data={"declaration": declaration.pk, "outcome": declaration.outcome},
                **changes,
            )
    except IntegrityError:
        raise WrongMoment(
            _("The reference %(reference)s belongs to another refund already.") % {"reference": declaration.reference}
        ) from None
    Declaration.objects.filter(pk=declaration.pk).update(confirmed_by=by, confirmed_at=now)
    settle_unmatched(refund)
    return refund


def _demand_confirmable(declaration: Declaration, refund: Refund, by: User) -> None:
    if by.pk == declaration.proposed_by_id:
        raise SamePerson(_("You proposed it yourself, so somebody else has to confirm it."))
    if by.pk == refund.requested_by_id:
        raise SamePerson(_("You asked for the refund yourself, so somebody else has to confirm it."))
    if declaration.outcome == Outcome.FAILED and timezone.now() < (earliest := not_failed_before(refund)):
        when = timezone.localtime(earliest)
        raise WrongMoment(
            _("Until %(when)s the order may still arrive there, so no failure can be confirmed.")
            % {"when": formats.date_format(when, "d M H:i")}
        )


@transaction.atomic
def drop_proposal(refund_id: int, by: User, why: str, *, seen: int) -> Refund:
    """The proposal is taken back or refused; the refund stands as it stood."""
    policy.demand(by, policy.DECLARE, _("drop a proposal"))
    refund = locked(refund_id, seen, by)
    declaration = open_declaration(refund)
    if declaration is None:
        raise WrongMoment(_("Nothing is proposed about %(refund)s as it stands now.") % {"refund": refund})
    why = spoken(why, _("Say why it does not hold."))
    _end(declaration, why)
    take_step(refund, "proposal dropped", Actor.person(by), text=why)
    return refund


def open_declaration(refund: Refund) -> Declaration | None:
    """The proposal that waits for a second person; one whose refund has moved since is void."""
    waiting = refund.declarations.filter(confirmed_at=None, dropped_at=None, version=refund.version)
    return waiting.select_related("proposed_by").first()


def _end_void_proposals(refund: Refund) -> None:
    for old in refund.declarations.filter(confirmed_at=None, dropped_at=None).exclude(version=refund.version):
        _end(old, "The refund has changed since it was proposed.")


def not_failed_before(refund: Refund) -> datetime:
    """The first moment (UTC) at which an order that nobody has seen can no longer arrive."""
    try:
        quiet: timedelta = gateway_for(refund.account).quiet_window
    except NotRefundable:
        quiet = gateway_class(refund.account.gateway).quiet_window
    last = refund.attempts.filter(kind=Attempt.Kind.SEND).last()
    sent_at = (last.finished_at or last.started_at) if last else (refund.sent_at or refund.requested_at)
    return sent_at + quiet


def _then(refund: Refund, declaration: Declaration, now: datetime) -> dict[str, object]:
    """A declared failure frees the amount, so where the gateway can be asked, it is looked up once more."""
    if declaration.outcome == Outcome.FAILED and can_be_asked(refund):
        return {"to_confirm": Outcome.FAILED.value, "ask_at": now, "asks": 0}
    return {"to_confirm": "", "ask_at": None}


def _end(declaration: Declaration, why: str) -> None:
    Declaration.objects.filter(pk=declaration.pk).update(dropped_at=timezone.now(), dropped_because=why[:300])


def _demand_evidence(refund: Refund, outcome: str, ticket: str, reference: str, evidence: UploadedFile | None) -> None:
    if outcome not in Outcome.values:
        raise BadInput(_("Say whether the money went back or not."))
    if not ticket and not evidence:
        raise BadInput(_("Attach evidence, or name the ticket that holds it."))
    if len(ticket) > 200 or len(reference) > 100 or not (ticket + reference).isprintable():
        raise BadInput(_("A ticket has at most 200 characters and a reference 100, on one line."))
    others = Refund.objects.filter(account=refund.account, reference=reference).exclude(pk=refund.pk)
    if reference and (other := others.first()):
        raise BadInput(
            _("The reference %(reference)s belongs to %(other)s already.") % {"reference": reference, "other": other}
        )
    if is_made_by_hand(refund) and outcome == Outcome.SUCCEEDED and not reference:
        raise BadInput(_("Give the reference of the transfer, so that it can be found on the bank's statement."))
    if evidence:
        evidence_files.demand_evidence_file(evidence)

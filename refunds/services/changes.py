"""Changes of rules, limits and rights: proposed by one person, confirmed by another, or made by the machine's owner."""

from __future__ import annotations

import logging

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import correlation, policy
from refunds.errors import BadInput, NotAllowed, SamePerson, WrongMoment
from refunds.models import Change, Delegation
from refunds.services.change_kinds import KINDS, Wish
from refunds.services.typed import spoken

log = logging.getLogger("refunds.people")


@transaction.atomic
def propose_change(
    kind: str,
    subject: str,
    after: Wish,
    by: User,
    note: str,
    *,
    person: User | None = None,
    seen: Wish | None = None,
) -> Change:
    """One person's wish, with why; `seen` is what the page showed. Nothing changes until another person confirms it."""
    rules = KINDS[kind]
    policy.demand(by, rules.proposes, _("propose this change"))
    is_own = person is not None and person.pk == by.pk
    if is_own != (kind == Change.Kind.DELEGATION):
        raise SamePerson(
            _("Nobody changes their own rights.") if is_own else _("Only they themselves choose a deputy.")
        )
    note = spoken(note, _("Say why; the person who confirms it reads this."))
    change = Change(kind=kind, subject=subject, person=person, after=after, note=note, source=Change.Source.PERSON)
    rules.check(change)
    change.before = rules.now(change)
    if seen is not None and change.before != seen:
        raise WrongMoment(_("What you want to change has changed while you were writing. Open it anew and look again."))
    if change.before == change.after:
        raise BadInput(_("That is how it is already."))
    change.proposed_by, change.proposed_at = by, timezone.now()
    change.correlation = correlation.current()
    try:
        with transaction.atomic():
            change.save(force_insert=True)
    except IntegrityError:
        raise WrongMoment(_("A change of the same waits already. Confirm or drop that one first.")) from None
    _tell("proposed", change, by.get_username())
    return change


def stands(kind: str, subject: str, person: User | None = None) -> Wish:
    """How it is now what a change would be about; empty where there is nothing yet."""
    return KINDS[kind].now(Change(kind=kind, subject=subject, person=person))


@transaction.atomic
def confirm_change(change_id: int, by: User) -> Change:
    """It takes effect now, for every click from here on."""
    change = _open(change_id)
    rules = KINDS[change.kind]
    policy.demand(by, rules.confirms, _("confirm this change"))
    if by.pk in (change.proposed_by_id, change.person_id):
        raise SamePerson(
            _("You proposed it, so somebody else has to confirm it.")
            if by.pk == change.proposed_by_id
            else _("You are the one it is about, so somebody else has to confirm it.")
        )
    if rules.now(change) != change.before:
        raise WrongMoment(_("What it would change has changed since. Drop it, and propose it again."))
    rules.check(change)
    rules.do(change)
    change.confirmed_by, change.confirmed_at = by, timezone.now()
    change.save(update_fields=["confirmed_by", "confirmed_at"])
    _tell("confirmed", change, by.get_username())
    return change


@transaction.atomic
def drop_change(change_id: int, by: User, why: str) -> Change:
    """It never happens; by the one who proposed it, or by one who could confirm it."""
    change = _open(change_id)
    if by.pk != change.proposed_by_id:
        policy.demand(by, KINDS[change.kind].confirms, _("drop this change"))
    change.dropped_because = spoken(why, _("Say why it shall not be."))[:300]
    change.dropped_by, change.dropped_at = by, timezone.now()
    change.save(update_fields=["dropped_by", "dropped_at", "dropped_because"])
    _tell("dropped", change, by.get_username())
    return change


@transaction.atomic
def change_at_once(kind: str, subject: str, after: Wish, source: Change.Source, note: str, *, person: User) -> Change:
    """By the command line or the identity provider: whoever rules there needs no second person of ours."""
    rules, now = KINDS[kind], timezone.now()
    change = Change(kind=kind, subject=subject, person=person, after=after, note=note, source=source)
    rules.check(change)
    change.before = rules.now(change)
    rules.do(change)
    change.proposed_at = change.confirmed_at = now
    change.correlation = correlation.current()
    change.save(force_insert=True)
    _tell("made", change, source)
    return change


@transaction.atomic
def end_delegation(delegation_id: int, by: User) -> Delegation:
    """Before its time, by one of the two or by who could have confirmed it."""
    delegation = Delegation.objects.select_for_update(of=("self",)).get(pk=delegation_id)
    if by.pk not in (delegation.person_id, delegation.deputy_id) and not policy.may(by, policy.RULES):
        raise NotAllowed(_("Only one of the two, or a gateway admin, ends a delegation."))
    if delegation.ended_at or delegation.until <= timezone.now():
        raise WrongMoment(_("It has ended already."))
    delegation.ended_at = timezone.now()
    delegation.save(update_fields=["ended_at"])
    log.info("Delegation %s ended by %s", delegation, by.get_username())
    return delegation


def _open(change_id: int) -> Change:
    change = Change.objects.select_for_update(of=("self",)).select_related("person", "proposed_by").get(pk=change_id)
    if change.confirmed_at or change.dropped_at:
        raise WrongMoment(_("It is confirmed or dropped already."))
    return change


def _tell(done: str, change: Change, by: str) -> None:
    said = f"Change {change.pk} ({change}) {done} by {by}: {change.before} → {change.after}"
    transaction.on_commit(lambda: log.info("%s", said), robust=True)

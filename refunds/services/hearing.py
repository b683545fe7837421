"""One update on its way to a decision: what it says, whether it can be about our refund, and whether it is news."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from gateways.contract import RefundUpdate
from gateways.registry import gateway_class
from refunds.history.kept import has_heard
from refunds.models import Attempt, Refund
from refunds.services.actor import Actor, Mouth


@dataclass(frozen=True)
class Hearing:
    """One update about one refund, on its way to a decision."""

    refund: Refund
    update: RefundUpdate
    mouth: Mouth
    attempt: Attempt | None = None

    @property
    def actor(self) -> Actor:
        return Actor.gateway(gateway_class(self.refund.account.gateway).label, self.mouth)

    @property
    def fingerprint(self) -> str:
        """Equal for equal words: hearing the same again writes nothing."""
        said = self.update
        amount = [said.amount.minor, said.amount.currency] if said.amount else None
        words = [said.outcome, said.reference, said.key, said.payment_reference, amount, said.code, said.message]
        words.append(said.occurred_at.isoformat() if said.occurred_at else "")
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    @property
    def words(self) -> str:
        said = " ".join(part for part in (self.update.code, self.update.message) if part)
        return f"They say {self.update.outcome}" + (f": {said}" if said else "") + "."

    @property
    def is_repeated(self) -> bool:
        """The very same words are in the journal already, or in an archive of it."""
        if self.refund.events.filter(heard=self.fingerprint).exists():
            return True
        return has_heard(self.refund.pk, self.fingerprint)


def difference(refund: Refund, update: RefundUpdate) -> str:
    """A sentence when their echo is not our refund, or ""."""
    pairs = (
        ("key", update.key.lower(), str(refund.key) if refund.source == Refund.Source.HOUSE else ""),
        ("payment", update.payment_reference, refund.payment.reference),
        ("reference", update.reference, refund.reference),
    )
    for name, theirs, ours in pairs:
        if theirs and ours and theirs != ours:
            return f"They name the {name} {theirs}; ours is {ours}."
    if update.amount and update.amount != refund.money:
        return f"They say {update.amount} {update.amount.currency}; we asked {refund.money} {refund.money.currency}."
    taken = Refund.objects.filter(account=refund.account, reference=update.reference).exclude(pk=refund.pk)
    if update.reference != refund.reference and update.reference and (other := taken.only("pk").first()):
        return f"They name the reference {update.reference}, which is {other}'s."
    return ""


def is_older(refund: Refund, update: RefundUpdate) -> bool:
    return bool(update.occurred_at and refund.said_at and update.occurred_at < refund.said_at)


def may_be_about_a_later_one(hearing: Hearing) -> Refund | None:
    """Where a gateway shows one word for all refunds of a payment, it is about the one that was sent last."""
    refund = hearing.refund
    if not refund.exclusive or hearing.update.amount is not None:
        return None
    return refund.payment.refunds.filter(sent_at__gt=refund.sent_at).order_by("-sent_at").first()

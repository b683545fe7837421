"""Plain words for people: amounts, what happens next, and what to tell the customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from babel.numbers import format_decimal
from django.db.models import QuerySet
from django.utils import formats, timezone
from django.utils.translation import get_language, to_locale
from django.utils.translation import gettext as _

from gateways.errors import Misconfigured
from gateways.money import Money, exponent
from gateways.registry import gateway_class
from refunds.errors import NotRefundable
from refunds.models import Account, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY
from refunds.services.again import again, can_be_asked, can_be_settled, is_made_by_hand
from refunds.services.hold import clock, held_until
from refunds.services.orders import gateway_for, order_of
from refunds.services.send import obstacle
from refunds.services.unmatched import why_no_name

NEXT = {
    Status.REQUESTED: "Somebody else has to approve it.",
    Status.RETURNED: "{requester} has to answer the question and resubmit it.",
    Status.REJECTED: "Nothing more happens. The amount is free again.",
    Status.WITHDRAWN: "Nothing more happens. The amount is free again.",
    Status.SENDING: "It is being handed to {gateway} at this moment.",
    Status.UNKNOWN: "Nobody knows yet whether {gateway} carried it out. {how}; the amount stays held. Do not refund it "
    "any other way.",
    Status.PROCESSING: "{gateway} has accepted it. {how}.",
    Status.SUCCEEDED: "Done. {gateway} has sent the money back.",
    Status.FAILED: "No money moved. You can try again as a new refund.",
    Status.REVERSED: "The bank returned the money to us. Talk to the customer, then try again as a new refund.",
}

# A transfer by hand has no gateway that could be handed anything.
NEXT_BY_HAND = {
    Status.SENDING: "It is being put on the list of transfers to make.",
    Status.UNKNOWN: "Nobody knows whether the transfer was made. People look at the bank, and two declare it.",
    Status.PROCESSING: "A person makes this transfer; then one says what became of it, and another confirms.",
    Status.SUCCEEDED: "Done. The transfer was made.",
}
CUSTOMER_BY_HAND = {
    Status.SENDING: "Your refund of {amount} is approved; we are making the transfer.",
    Status.UNKNOWN: "Your refund of {amount} is being checked with our bank. We will tell you more.",
    Status.PROCESSING: "Your refund of {amount} is approved; we are making the transfer.",
    Status.SUCCEEDED: "Your refund of {amount} was transferred on {final}{ids}. "
    "Your bank decides on which day it appears in your account.",
}

PRESS_AGAIN = {
    Status.REQUESTED: "No need: nothing was sent yet. A second request would be a second refund.",
    Status.RETURNED: "Answer this one instead: a second request would be a second refund.",
    Status.APPROVED: "“Send now” is safe: it is this same refund. A second request would be a second refund.",
    Status.SENDING: "No: it is being handed over at this moment.",
    Status.PROCESSING: "No: {has_it}. A second request would be a second refund.",
}

CUSTOMER = {
    Status.REQUESTED: "We have received your refund request of {amount} and are reviewing it.",
    Status.RETURNED: "We have received your refund request of {amount} and are reviewing it.",
    Status.APPROVED: "Your refund of {amount} is approved and will be sent shortly.",
    Status.REJECTED: "We are unable to refund {amount} for this order.",
    Status.WITHDRAWN: "The refund request of {amount} was withdrawn.",
    Status.SENDING: "Your refund of {amount} is being sent at this moment.",
    Status.UNKNOWN: "Your refund of {amount} is being checked with the payment provider. We will tell you more.",
    Status.PROCESSING: "Your refund of {amount} was sent on {sent} and the payment provider is processing it{ids}.",
    Status.SUCCEEDED: "Your refund of {amount} was sent to your bank on {final}{ids}. "
    "Your bank decides on which day it appears in your account.",
    Status.FAILED: "Your refund of {amount} could not be carried out; no money has moved. We will write to you.",
    Status.REVERSED: "Your bank returned the refund of {amount} to us. Please contact us so that we can send it again.",
}


def amount(money: Money) -> str:
    """Grouped by the reader's language, with exactly the currency's decimals: 1,250.00 EUR."""
    places = exponent(money.currency)
    pattern = "#,##0" + ("." + "0" * places if places else "")
    number = format_decimal(money.major, format=pattern, locale=to_locale(get_language() or "en"))
    return f"{number}\N{NO-BREAK SPACE}{money.currency}"


def moment(when: datetime) -> str:
    """A moment for a list, in the house's time zone: 21 Nov 2026, 14:05."""
    return formats.date_format(timezone.localtime(when), "j M Y, H:i")


def next_step(refund: Refund) -> str:
    """What happens next, and who has to do it."""
    if until := held_until(refund):
        return _("It is sent at %(at)s unless its approval is taken back.") % {"at": clock(until)}
    if refund.status == Status.APPROVED:
        return f"It waits: {why}" if (why := obstacle(refund)) else "A worker sends it as soon as one is free."
    if refund.status in AT_THE_GATEWAY and not refund.account.is_active:
        return f"Nobody can ask about it: the account {refund.account} is no longer in GATEWAY_ACCOUNTS. Put it back."
    return _said(refund, NEXT, NEXT_BY_HAND).format(
        requester=refund.requested_by, gateway=_label(refund), how=_how_it_ends(refund)
    )


def _said(refund: Refund, usual: Mapping[Status, str], by_hand: Mapping[Status, str]) -> str:
    status = Status(refund.status)
    return by_hand.get(status, usual[status]) if is_made_by_hand(refund) else usual[status]


def _label(refund: Refund) -> str:
    return gateway_class(refund.account.gateway).label


def _how_it_ends(refund: Refund) -> str:
    if not can_be_settled(refund):
        found = "" if why_no_name(refund) else "name its reference if it is there, or "
        return f"They cannot be asked about it, so people look in their screens and {found}declare the outcome"
    if can_be_asked(refund):
        return f"We ask until we know{_when(refund)}"
    if why := obstacle(refund):
        return f"It waits: {why.rstrip('.')}"
    return f"The same order goes again under the same key, and its answer tells{_when(refund)}"


def press_again(refund: Refund) -> str:
    """ "Can I press it again?" in one line, for a refund that is not final; "" for one that is."""
    if refund.status == Status.UNKNOWN:
        return _again(refund)
    if until := held_until(refund):
        told = _("No need: it is sent by itself at %(at)s. A second request would be a second refund.")
        return told % {"at": clock(until)}
    has_it = "a person makes this transfer" if is_made_by_hand(refund) else f"{_label(refund)} has it"
    return PRESS_AGAIN.get(Status(refund.status), "").format(has_it=has_it)


def _again(refund: Refund) -> str:
    verdict = again(refund)
    if verdict.is_safe and (why := obstacle(refund)):
        return f"Not now. {why}"
    if verdict.is_safe:
        until = f" until {moment(verdict.not_after)}" if verdict.not_after else ""
        return f"Yes{until}: “Check with the gateway” is safe. {verdict.why} A new request would be a second refund."
    if verdict.may_come and verdict.not_before:
        return f"Not before {moment(verdict.not_before)}. {verdict.why} It then goes again by itself."
    return f"No. {verdict.why} A new request would be a second refund, too."


def customer_sentence(refund: Refund) -> str:
    """A sentence to copy into an answer; no invented dates, nothing from inside the house."""
    return _said(refund, CUSTOMER, CUSTOMER_BY_HAND).format(
        amount=amount(refund.money), sent=_day(refund.sent_at), final=_day(refund.final_at), ids=_ids(refund)
    )


WAITS_FOR = ("needs no approval and is sent", "waits for approval", "waits for the approval of two people")


def after_request(refund: Refund) -> str:
    """What the requester is told: how many people have to agree."""
    return f"{refund} of {amount(refund.money)} {WAITS_FOR[refund.approvals_needed]} ({refund.account.mode})."


def payment_names(accounts: QuerySet[Account]) -> list[tuple[str, str]]:
    """What each gateway of these accounts calls the id of a payment."""
    kinds = [gateway_class(name) for name in accounts.filter(is_active=True).values_list("gateway", flat=True)]
    return sorted({(kind.label, kind.payment_named) for kind in kinds if kind.payment_named})


def details(refund: Refund) -> list[tuple[str, str]]:
    """What the gateway told beside the essentials, with plain labels."""
    labels = gateway_class(refund.account.gateway).detail_labels
    return [(labels.get(name, name), str(value)) for name, value in refund.details.items() if value]


def _when(refund: Refund) -> str:
    if refund.ask_at is None:
        return ""
    at = timezone.localtime(refund.ask_at)
    day = "" if at.date() == timezone.localdate() else f"{_day(refund.ask_at)}, "
    return f" (next at {day}{at:%H:%M:%S})"


def _day(moment: datetime | None) -> str:
    return formats.date_format(timezone.localtime(moment), "j F Y") if moment else "—"


def _ids(refund: Refund) -> str:
    known_by = gateway_class(refund.account.gateway).customer_detail
    if told := refund.details.get(known_by):
        return f"; the bank's reference is {told}"
    return f"; the reference is {refund.reference}" if refund.reference else ""


@dataclass(frozen=True)
class Where:
    """Where a person finds a refund in the gateway's own screens, and the values to compare there.

    `link` leads there, "" where none is configured; `trouble` says why the account cannot be used at all.
    """

    sentence: str
    link: str
    trouble: str
    values: list[tuple[str, str]]


def where_to_look(refund: Refund) -> Where:
    """Never fails: an account that cannot be used has no link, and says why."""
    values = _to_compare(refund)
    try:
        sentence = gateway_class(refund.account.gateway).where_to_look
        link = gateway_for(refund.account).screen_url(order_of(refund))
    except Misconfigured as no_such_gateway:
        return Where("", "", str(no_such_gateway), values)
    except NotRefundable as misconfigured:
        return Where(sentence, "", str(misconfigured), values)
    return Where(sentence, link if link.startswith(("https://", "http://")) else "", "", values)


def _to_compare(refund: Refund) -> list[tuple[str, str]]:
    sent = timezone.localtime(refund.sent_at or refund.requested_at)
    values = (
        ("Their payment", refund.payment.reference),
        ("Our key", str(refund.key)),
        ("Their reference", refund.reference),
        ("Amount", f"{refund.money} {refund.money.currency}"),
        ("Sent", f"{sent:%Y-%m-%d %H:%M:%S} {sent.tzname()}"),
    )
    return [(label, text) for label, text in values if text]

"""Plain words for people: amounts, what happens next, and what to tell the customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.numbers import format_decimal
from django.conf import settings
from django.db.models import QuerySet
from django.utils import formats, timezone, translation
from django.utils.translation import get_language, gettext_lazy, to_locale
from django.utils.translation import gettext as _

from gateways.errors import Misconfigured
from gateways.money import Money, exponent
from gateways.registry import gateway_class
from refunds.errors import NotRefundable
from refunds.models import Account, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY
from refunds.services.again import again, can_be_asked, can_be_settled, is_made_by_hand
from refunds.services.claim import obstacle
from refunds.services.hold import clock, held_until
from refunds.services.orders import gateway_for, order_of
from refunds.services.unmatched import why_no_name

Words = Mapping[Status, Any]  # sentences that are translated when they are said

NEXT: Words = {
    Status.REQUESTED: gettext_lazy("Somebody else has to approve it."),
    Status.RETURNED: gettext_lazy("%(requester)s has to answer the question and resubmit it."),
    Status.APPROVED: gettext_lazy("A worker sends it as soon as one is free."),
    Status.REJECTED: gettext_lazy("Nothing more happens. The amount is free again."),
    Status.WITHDRAWN: gettext_lazy("Nothing more happens. The amount is free again."),
    Status.SENDING: gettext_lazy("It is being handed to %(gateway)s at this moment."),
    Status.UNKNOWN: gettext_lazy(
        "Nobody knows yet whether %(gateway)s carried it out. %(how)s; the amount stays held. Do not refund it "
        "any other way."
    ),
    Status.PROCESSING: gettext_lazy("%(gateway)s has accepted it. %(how)s."),
    Status.SUCCEEDED: gettext_lazy("Done. %(gateway)s has sent the money back."),
    Status.FAILED: gettext_lazy("No money moved. You can try again as a new refund."),
    Status.REVERSED: gettext_lazy(
        "The bank returned the money to us. Talk to the customer, then try again as a new refund."
    ),
}

# A transfer by hand has no gateway that could be handed anything.
NEXT_BY_HAND: Words = {
    Status.SENDING: gettext_lazy("It is being put on the list of transfers to make."),
    Status.UNKNOWN: gettext_lazy(
        "Nobody knows whether the transfer was made. People look at the bank, and two declare it."
    ),
    Status.PROCESSING: gettext_lazy(
        "A person makes this transfer; then one says what became of it, and another confirms."
    ),
    Status.SUCCEEDED: gettext_lazy("Done. The transfer was made."),
}
CUSTOMER_BY_HAND: Words = {
    Status.SENDING: gettext_lazy("Your refund of %(amount)s is approved; we are making the transfer."),
    Status.UNKNOWN: gettext_lazy("Your refund of %(amount)s is being checked with our bank. We will tell you more."),
    Status.PROCESSING: gettext_lazy("Your refund of %(amount)s is approved; we are making the transfer."),
    Status.SUCCEEDED: gettext_lazy(
        "Your refund of %(amount)s was transferred on %(final)s%(ids)s. "
        "Your bank decides on which day it appears in your account."
    ),
}

PRESS_AGAIN: Words = {
    Status.REQUESTED: gettext_lazy("No need: nothing was sent yet. A second request would be a second refund."),
    Status.RETURNED: gettext_lazy("Answer this one instead: a second request would be a second refund."),
    Status.APPROVED: gettext_lazy(
        "“Send now” is safe: it is this same refund. A second request would be a second refund."
    ),
    Status.SENDING: gettext_lazy("No: it is being handed over at this moment."),
    Status.PROCESSING: gettext_lazy("No: %(has_it)s. A second request would be a second refund."),
}

CUSTOMER: Words = {
    Status.REQUESTED: gettext_lazy("We have received your refund request of %(amount)s and are reviewing it."),
    Status.RETURNED: gettext_lazy("We have received your refund request of %(amount)s and are reviewing it."),
    Status.APPROVED: gettext_lazy("Your refund of %(amount)s is approved and will be sent shortly."),
    Status.REJECTED: gettext_lazy("We are unable to refund %(amount)s for this order."),
    Status.WITHDRAWN: gettext_lazy("The refund request of %(amount)s was withdrawn."),
    Status.SENDING: gettext_lazy("Your refund of %(amount)s is being sent at this moment."),
    Status.UNKNOWN: gettext_lazy(
        "Your refund of %(amount)s is being checked with the payment provider. We will tell you more."
    ),
    Status.PROCESSING: gettext_lazy(
        "Your refund of %(amount)s was sent on %(sent)s and the payment provider is processing it%(ids)s."
    ),
    Status.SUCCEEDED: gettext_lazy(
        "Your refund of %(amount)s was sent to your bank on %(final)s%(ids)s. "
        "Your bank decides on which day it appears in your account."
    ),
    Status.FAILED: gettext_lazy(
        "Your refund of %(amount)s could not be carried out; no money has moved. We will write to you."
    ),
    Status.REVERSED: gettext_lazy(
        "Your bank returned the refund of %(amount)s to us. Please contact us so that we can send it again."
    ),
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
    if refund.status == Status.APPROVED and (why := obstacle(refund)):
        return _("It waits: %(why)s") % {"why": why}
    if refund.status in AT_THE_GATEWAY and not refund.account.is_active:
        said = _("Nobody can ask about it: the account %(account)s is no longer in GATEWAY_ACCOUNTS. Put it back.")
        return said % {"account": refund.account}
    how = _how_it_ends(refund) if refund.status in AT_THE_GATEWAY else ""
    known = {"requester": refund.requested_by, "gateway": _label(refund), "how": how}
    return _said(refund, NEXT, NEXT_BY_HAND) % known


def next_step_and_when(refund: Refund) -> str:
    """Both in one text, for a list."""
    soon = next_moment(refund)
    return f"{next_step(refund)} {soon[0]}: {moment(soon[1])}." if soon else next_step(refund)


def next_moment(refund: Refund) -> tuple[str, datetime] | None:
    """What happens by itself next, and when; None where only people go on with it."""
    if refund.ask_at is None or not refund.account.is_active:
        return None
    if refund.status == Status.APPROVED:
        return None if obstacle(refund) else (_("It goes out"), refund.ask_at)
    if refund.status in AT_THE_GATEWAY and not can_be_asked(refund):
        return (_("The same order goes again"), refund.ask_at) if can_be_settled(refund) else None
    return (_("We ask again"), refund.ask_at) if refund.sent_at else None


def _said(refund: Refund, usual: Words, by_hand: Words) -> str:
    status = Status(refund.status)
    return str(by_hand.get(status, usual[status]) if is_made_by_hand(refund) else usual[status])


def _label(refund: Refund) -> str:
    return gateway_class(refund.account.gateway).label


def _how_it_ends(refund: Refund) -> str:
    if not can_be_settled(refund):
        return _by_people(refund)
    if can_be_asked(refund):
        return _("We ask until we know")
    if why := obstacle(refund):
        return _("It waits: %(why)s") % {"why": why.rstrip(".")}
    return _("The same order goes again under the same key, and its answer tells")


def _by_people(refund: Refund) -> str:
    if why_no_name(refund):
        return _("They cannot be asked about it, so people look in their screens and declare the outcome")
    return _(
        "They cannot be asked about it, so people look in their screens and name its reference if it is there, "
        "or declare the outcome"
    )


def press_again(refund: Refund) -> str:
    """ "Can I press it again?" in one line, for a refund that is not final; "" for one that is."""
    if refund.status == Status.UNKNOWN:
        return _again(refund)
    if until := held_until(refund):
        told = _("No need: it is sent by itself at %(at)s. A second request would be a second refund.")
        return told % {"at": clock(until)}
    by_hand = is_made_by_hand(refund)
    has_it = _("a person makes this transfer") if by_hand else _("%(gateway)s has it") % {"gateway": _label(refund)}
    return str(PRESS_AGAIN.get(Status(refund.status), "")) % {"has_it": has_it}


def _again(refund: Refund) -> str:
    verdict = again(refund)
    if verdict.is_safe and (why := obstacle(refund)):
        return _("Not now. %(why)s") % {"why": why}
    if verdict.is_safe:
        safe = _("“Check with the gateway” is safe. %(why)s A new request would be a second refund.")
        until = _("Yes until %(moment)s:") % {"moment": moment(verdict.not_after)} if verdict.not_after else _("Yes:")
        return f"{until} {safe % {'why': verdict.why}}"
    if verdict.may_come and verdict.not_before:
        not_yet = _("Not before %(moment)s. %(why)s It then goes again by itself.")
        return not_yet % {"moment": moment(verdict.not_before), "why": verdict.why}
    return _("No. %(why)s A new request would be a second refund, too.") % {"why": verdict.why}


def languages() -> list[tuple[str, str]]:
    """The languages that a customer can be answered in, each by its own name."""
    return [(code, translation.get_language_info(code)["name_local"]) for code, _name in settings.LANGUAGES]


def language_of(asked: str) -> str:
    """The language that was asked for, where there is such a one; else the reader's own."""
    offered = [code for code, _name in settings.LANGUAGES]
    own = get_language() or settings.LANGUAGE_CODE
    return next((code for code in (asked, own, own.split("-")[0]) if code in offered), offered[0])


def customer_sentence(refund: Refund, language: str = "") -> str:
    """A sentence to copy into an answer, in the customer's language; no invented dates, nothing from inside."""
    with translation.override(language or get_language()):
        known = {"amount": amount(refund.money), "sent": _day(refund.sent_at), "final": _day(refund.final_at)}
        return _said(refund, CUSTOMER, CUSTOMER_BY_HAND) % {**known, "ids": _ids(refund)}


WAITS_FOR = (
    gettext_lazy("%(refund)s of %(amount)s needs no approval and is sent (%(mode)s)."),
    gettext_lazy("%(refund)s of %(amount)s waits for approval (%(mode)s)."),
    gettext_lazy("%(refund)s of %(amount)s waits for the approval of two people (%(mode)s)."),
)


def after_request(refund: Refund) -> str:
    """What the requester is told: how many people have to agree."""
    known = {"refund": refund, "amount": amount(refund.money), "mode": refund.account.mode}
    return WAITS_FOR[refund.approvals_needed] % known


def payment_names(accounts: QuerySet[Account]) -> list[tuple[str, str]]:
    """What each gateway of these accounts calls the id of a payment."""
    kinds = [gateway_class(name) for name in accounts.filter(is_active=True).values_list("gateway", flat=True)]
    return sorted({(kind.label, kind.payment_named) for kind in kinds if kind.payment_named})


def details(refund: Refund) -> list[tuple[str, str]]:
    """What the gateway told beside the essentials, with plain labels."""
    labels = gateway_class(refund.account.gateway).detail_labels
    return [
        (_(labels[name]) if name in labels else name, str(value)) for name, value in refund.details.items() if value
    ]


def _day(moment: datetime | None) -> str:
    """A day of the house: two colleagues tell a customer the same."""
    return formats.date_format(timezone.localtime(moment, timezone.get_default_timezone()), "j E Y") if moment else "—"


def _ids(refund: Refund) -> str:
    known_by = gateway_class(refund.account.gateway).customer_detail
    if told := refund.details.get(known_by):
        return _("; the bank's reference is %(reference)s") % {"reference": told}
    return _("; the reference is %(reference)s") % {"reference": refund.reference} if refund.reference else ""


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
        (_("Their payment"), refund.payment.reference),
        (_("Our key"), str(refund.key)),
        (_("Their reference"), refund.reference),
        (_("Amount"), f"{refund.money} {refund.money.currency}"),
        (_("Sent"), f"{sent:%Y-%m-%d %H:%M:%S} {sent.tzname()}"),
    )
    return [(label, text) for label, text in values if text]

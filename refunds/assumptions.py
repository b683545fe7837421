"""What is only assumed about a gateway: what a look-up at the real one has proved, and what its owner has accepted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from gateways import registry
from gateways.contract import COMMON_SETTINGS, Assumption, Gateway, LookUp, RefundOrder, RefundUpdate
from gateways.errors import Misconfigured
from refunds import accounts, wording
from refunds.errors import BadInput
from refunds.models import Account, Attempt, Payment, Refund

OUR_SANDBOX = "refund-desk-sandbox"  # what our own simulator answers as, wherever it stands


@dataclass(frozen=True)
class Standing:
    """How sure we are of one assumption: proved, accepted or assumed, and a sentence that says by what.

    `variable` is where another answer goes, "" where there is no setting for it.
    """

    assumption: Assumption
    word: str
    sentence: str
    variable: str = ""


@dataclass(frozen=True)
class Shown:
    """What one look-up brought; where it proves nothing, `why_not` says why."""

    payment: str
    updates: Sequence[RefundUpdate]
    proved: Sequence[str]
    why_not: str


def standing_of(account: Account) -> list[Standing]:
    """Every assumption of the account's gateway."""
    accepted, prefix = accounts.accepted_assumptions(account.slug), accounts.prefix_of(account.slug)
    return [
        Standing(one, *_word(account, one, accepted), variable=f"{prefix}_{one.setting}" if one.setting else "")
        for one in registry.gateway_class(account.gateway).assumptions
    ]


def unproved(account: Account) -> list[str]:
    """The critical assumptions that this account relies on and nobody has proved or accepted."""
    critical = [one for one in standing_of(account) if one.assumption.is_critical and one.word == "assumed"]
    return [one.assumption.id for one in critical if is_relied_on(account, one.assumption)]


def is_relied_on(account: Account, assumption: Assumption) -> bool:
    """Whether what this account does would go wrong, were it not true."""
    setting = assumption.relied_on_by
    try:
        found = accounts.config_of(account.slug).get(setting, "")
    except Misconfigured:
        return True
    return not setting or found not in ("", COMMON_SETTINGS[setting])


def unknown_ids(account: Account) -> list[str]:
    """What ACCEPT_ASSUMPTIONS names and its gateway does not."""
    known = {assumption.id for assumption in registry.gateway_class(account.gateway).assumptions}
    return [name for name in accounts.accepted_assumptions(account.slug) if name not in known]


WORDS = (gettext_noop("proved"), gettext_noop("accepted"), gettext_noop("assumed"))


def _word(account: Account, assumption: Assumption, accepted: Sequence[str]) -> tuple[str, str]:
    proof, now_at = account.proved.get(assumption.id), address_of(account)
    if proof and proof["host"] == now_at:
        return "proved", _("Proved on %(moment)s at %(host)s.") % {
            "moment": wording.moment(datetime.fromisoformat(proof["at"])),
            "host": now_at,
        }
    if assumption.id in accepted:
        return "accepted", _("Accepted in %(prefix)s_ACCEPT_ASSUMPTIONS.") % {
            "prefix": accounts.prefix_of(account.slug)
        }
    if not is_relied_on(account, assumption):
        variable = f"{accounts.prefix_of(account.slug)}_{assumption.relied_on_by}"
        return "assumed", _("Assumed; nothing relies on it unless %(variable)s is set.") % {"variable": variable}
    if proof:
        return "assumed", _("Assumed: it was proved at %(host)s, which this account no longer calls.") % {
            "host": proof["host"]
        }
    if assumption.shown_by_look_up:
        return "assumed", _("Assumed; our sandbox is built on it. A look-up at the real gateway would prove it.")
    return "assumed", _("Assumed; our sandbox is built on it.")


def address_of(account: Account) -> str:
    """Host and path of the account's URL, since some gateways serve sandbox and live from one host; "" without one."""
    try:
        url = accounts.config_of(account.slug).get("URL", "")
    except Misconfigured:
        return ""
    return f"{urlsplit(url).netloc}{urlsplit(url).path}".rstrip("/").lower()


def show(account: Account, payment_reference: str = "") -> Shown:
    """Look one payment's refunds up, once and with nothing but a look-up; what that shows of the gateway is kept.

    Raises BadInput where there is nothing to ask by, else as a connector does.
    """
    gateway = accounts.connect(account)
    if gateway.can.look_up is LookUp.NONE:
        raise BadInput(f"{gateway.label} offers no look-up, so nothing can be asked without an order.")
    order = _order(account, gateway, payment_reference)
    updates = gateway.look_up(order)
    if why_not := _why_not(account, gateway, updates):
        return Shown(order.payment_reference, updates, [], why_not)
    return Shown(order.payment_reference, updates, _prove(account), "")


def _order(account: Account, gateway: Gateway, payment_reference: str) -> RefundOrder:
    """What to ask by: the payment named, else the newest; its newest sent refund where we know one."""
    refunds = Refund.objects.filter(account=account, sent_at__isnull=False).select_related("payment")
    if gateway.can.look_up is LookUp.BY_REFERENCE:
        refunds = refunds.exclude(reference="")
    if payment_reference:
        refunds = refunds.filter(payment__reference=payment_reference)
    if refund := refunds.order_by("-sent_at").first():
        attempt = refund.attempts.filter(kind=Attempt.Kind.SEND).last()
        return RefundOrder(
            str(refund.key),
            refund.payment.reference,
            refund.money,
            reference=refund.reference,
            before=attempt.before if attempt else {},
        )
    if gateway.can.look_up is LookUp.BY_REFERENCE:
        raise BadInput(
            f"{gateway.label} is asked by its own reference: name a payment with a refund that has one here."
        )
    payments = Payment.objects.filter(account=account)
    payment = payments.filter(reference=payment_reference).first() if payment_reference else payments.first()
    if payment is None and not payment_reference:
        raise BadInput(f"The account {account} has no payment here: name one with --payment.")
    if payment is None:
        raise BadInput(f"The account {account} has no payment {payment_reference} here: import it first.")
    return RefundOrder("", payment.reference, payment.money(payment.captured))


def _why_not(account: Account, gateway: Gateway, updates: Sequence[RefundUpdate]) -> str:
    """Why this look-up proves nothing about the real gateway, or ""."""
    host = urlsplit(f"//{address_of(account)}").hostname or ""
    if not host or accounts.is_loopback(host) or any(OUR_SANDBOX in name for name in _servers(gateway)):
        return "It was answered by a sandbox of ours, which is built on these assumptions: nothing is proved."
    if not updates:
        return "An empty answer proves nothing: name a payment with a refund, by --payment."
    return ""


def _servers(gateway: Gateway) -> Iterator[str]:
    """Who the answers say that they come from."""
    return (exchange.response_headers.get("server", "") for exchange in gateway.http.exchanges)


@transaction.atomic
def _prove(account: Account) -> list[str]:
    """Keep what a readable look-up at the real gateway shows."""
    row = Account.objects.select_for_update().get(pk=account.pk)
    kind = registry.gateway_class(account.gateway)
    proof = {"at": timezone.now().isoformat(timespec="seconds"), "host": address_of(account)}
    shown = [assumption.id for assumption in kind.assumptions if assumption.shown_by_look_up]
    account.proved = {**row.proved, **dict.fromkeys(shown, proof)}
    Account.objects.filter(pk=account.pk).update(proved=account.proved)
    return shown

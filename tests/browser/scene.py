"""A desk with work on it: payments, and a refund in every state that a person meets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone

from refunds import services
from refunds.models import Attempt, Batch, Change, Payment, Refund, RefundReason, Rule, UnmatchedRefund
from refunds.services.actor import WORKER
from refunds.services.change_kinds import SUMS
from refunds.services.steps import locked, take_step
from tests.builders import PNG, make_account, make_payment, person
from tests.house import until_status

ACCOUNTS = "payerly-eu:payerly,bank:manual"
# order, customer, e-mail, minor units, currency, method
SOLD = (
    ("SO-48213", "Anna Nowak", "anna.nowak@example.com", 24990, "EUR", "card •• 4412"),
    ("SO-48219", "Jonas Weber", "jonas.weber@example.de", 125000, "EUR", "card •• 0093"),
    (
        "SO-48230",
        "Marie-Louise Oberholtzer-Vandenberghe",
        "marie-louise.oberholtzer@long-name.example",
        7845,
        "EUR",
        "",
    ),
    ("SO-48231", "Misaki Satō", "misaki.sato@example.jp", 18600, "JPY", "card •• 7701"),
    ("SO-48244", "Fatima Al-Sabah", "fatima@example.kw", 45500, "KWD", "KNET"),
    ("SO-48250", "Siobhán O'Brien", "siobhan@example.ie", 5900, "EUR", "card •• 2210"),
    ("SO-48251", "Chloé Martin", "chloe.martin@example.fr", 15900, "EUR", "SEPA"),
    ("SO-48260", "Piotr Zieliński", "piotr@example.pl", 33000, "EUR", "card •• 5108"),
)


def people() -> dict[str, User]:
    """The desk's staff, and one who may see and press everything."""
    staff = {
        name: person(name, group)
        for name, group in {
            "agent": "Agents",
            "agent2": "Agents",
            "approver": "Approvers",
            "auditor": "Auditors",
            "finance": "Finance",
            "finance2": "Finance",
            "gatekeeper": "Gateway admins",
            "gatekeeper2": "Gateway admins",
            "people": "User admins",
            "people2": "User admins",
        }.items()
    }
    staff["invited"] = User.objects.create_user("nina", "nina.example@example.com", is_staff=True)
    staff["maria"] = person("maria")
    staff["maria"].groups.set(Group.objects.all())
    return staff


NO_RULE: dict[str, Any] = {
    "demand": "block",
    "account": "",
    "currency": "",
    "from_amount": 0,
    "to_amount": None,
    "from_days": None,
    "reason": "",
    **dict.fromkeys(SUMS, True),
}


# Two rows that can be requested, one that is too much, and one about a payment that nobody has.
FILE = """account,order,amount,currency,reason,ticket
payerly-eu,SO-48251,20.00,EUR,Goods returned,ZD-20001
payerly-eu,SO-48250,4.00,EUR,Damaged or wrong item,https://help.example/agent/tickets/20002
payerly-eu,SO-48230,10000.00,EUR,Goodwill,ZD-20003
payerly-eu,SO-99999,5.00,EUR,Cancelled order,ZD-20004
"""


@dataclass
class Scene:
    """Payments by order and refunds by status; of the requested ones the first."""

    staff: dict[str, User]
    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    unmatched: list[UnmatchedRefund] = field(default_factory=list)
    rows: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    batch: Any = None

    def ask(self, order: str, amount: int, reason: str = "Goods returned", by: str = "agent", **words: str) -> Refund:
        payment = Payment.objects.get(order=order)
        why = RefundReason.objects.get(name=reason)
        return services.request_refund(payment.pk, amount, why, self.staff[by], seen_free=payment.free, **words)

    def send(self, refund: Refund, status: str) -> Refund:
        """Approved by the approver; `status` is where the gateway's story leads it."""
        services.approve_refund(refund.pk, self.staff["approver"], seen=refund.version)
        self.refunds[status] = until_status(refund, status)
        return self.refunds[status]


def set_up() -> Scene:
    """Only what needs no worker: payments, and refunds that were never sent."""
    scene = Scene(people())
    for place, (order, name, email, captured, currency, method) in enumerate(SOLD):
        sold = timezone.now() - timedelta(days=3 + 2 * place, hours=place, minutes=13 * place)
        scene.payments[order] = make_payment(
            captured=captured,
            currency=currency,
            reference=f"9f4c2e7a-51{place}b-4d0e-8c3a-7be1{place}0d2a6{place}f",
            order=order,
            customer_name=name,
            customer_email=email,
            captured_at=sold,
            method=method,
        )
    _waiting(scene)
    _decided(scene)
    _left_to_people(scene)
    _ruled(scene)
    scene.batch = _from_a_file(scene)
    return scene


def _from_a_file(scene: Scene) -> Batch:
    """Confirmed by Maria; the worker requests its rows."""
    run = services.dry_run(FILE.replace("20.00", "12.00").encode(), "december returns.csv", scene.staff["maria"])
    return services.open_batch(run, scene.staff["maria"])


def _waiting(scene: Scene) -> None:
    scene.refunds["requested"] = scene.ask(
        "SO-48230",
        7800,
        "Damaged or wrong item",
        ticket="ZD-10442",
        internal_note="Photos of the box are in the ticket.",
    )
    scene.ask("SO-48231", 18600, "Not delivered", "agent2", ticket="ZD-10447")
    scene.ask("SO-48244", 12500, "Goodwill")
    scene.ask("SO-48219", 25000, "Goods returned", "agent2", ticket="https://help.example/agent/tickets/10449")
    scene.ask("SO-48250", 1500, "Charged twice", "maria")
    returned = scene.ask("SO-48251", 4500, "Goodwill", "maria")
    services.return_refund(returned.pk, scene.staff["approver"], "Which of the two parcels is this about?", seen=1)
    scene.refunds["returned"] = returned


def _decided(scene: Scene) -> None:
    rejected = scene.ask("SO-48260", 33000, "Goodwill")
    services.reject_refund(rejected.pk, scene.staff["approver"], "The return window closed in May.", seen=1)
    scene.refunds["rejected"] = rejected


def _left_to_people(scene: Scene) -> None:
    """Refunds that nobody knows the end of, a transfer by hand, and one that nobody has claimed."""
    staff = scene.staff
    scene.refunds["unknown"] = _stuck(scene.ask("SO-48219", 31250, "Charged twice"), "doubt")
    scene.refunds["odd"] = _stuck(
        scene.ask("SO-48244", 4500), "doubt", needs_attention="They name another amount: 4.000 KWD instead of 4.500."
    )
    proposed = _stuck(scene.ask("SO-48251", 2990, "Damaged or wrong item"), "doubt")
    services.propose_outcome(
        proposed.pk,
        staff["finance"],
        "failed",
        "Looked through their list of the day at 14:10 and again the day after: no refund of this payment.",
        seen=proposed.version,
        ticket="ZD-10455",
        evidence=SimpleUploadedFile("payerly-list-2026-11-20.png", PNG),
    )
    scene.refunds["proposed"] = proposed
    bank = make_account("bank", gateway="manual")
    by_hand = make_payment(
        captured=6400,
        reference="invoice-2026-3391",
        order="SO-48301",
        account=bank,
        customer_name="Hendrik de Vries",
        customer_email="hendrik@example.nl",
    )
    scene.payments[by_hand.order] = by_hand
    scene.refunds["by hand"] = _stuck(scene.ask(by_hand.order, 6400, "Cancelled order"), "accept")
    scene.unmatched.append(_unmatched(scene.refunds["unknown"]))


def _ruled(scene: Scene) -> None:
    """Rules in force and ended, an allowance, a deputy, and a change of each kind that waits."""
    staff, rules = scene.staff, Change.Kind.RULE
    large = {**NO_RULE, "demand": "2", "currency": "EUR", "from_amount": 100000}
    for number, wish in (("1", {**large, "from_amount": 50000}), ("1", large), ("2", {**NO_RULE, "from_days": 365})):
        _agreed(scene, rules, number, wish, "Agreed with Finance on Monday.")
    agent, approver = staff["agent"], staff["approver"]
    subject = services.allowance_subject(agent, "request", "EUR")
    _agreed(scene, Change.Kind.ALLOWANCE, subject, {"largest": 150000, "per_day": 500000}, "For the season.", agent)
    deputy, now = person("approver2", "Approvers"), timezone.now()
    away = {"deputy": "approver2", "from": now.isoformat(), "until": (now + timedelta(days=5)).isoformat()}
    names = "approver2 approver"
    change = services.propose_change(Change.Kind.DELEGATION, names, away, approver, "At sea.", person=approver)
    services.confirm_change(change.pk, staff["gatekeeper"])
    scene.rows["delegation"] = deputy.stands_in.get()
    scene.rows["rule"], scene.rows["allowance"] = Rule.objects.get(number=1, version=2), agent.allowances.get()
    waiting: tuple[tuple[str, str, dict[str, Any], str, User | None], ...] = (
        (rules, "1", {**large, "from_amount": 7500, "sums_requester": False}, "gatekeeper", None),
        (Change.Kind.ALLOWANCE, subject, {"largest": 20000, "per_day": 60000}, "gatekeeper", agent),
        (Change.Kind.GROUPS, "agent2", {"groups": ["Agents", "Approvers"]}, "people", staff["agent2"]),
        (Change.Kind.ACCOUNTS, "agent2", {"accounts": ["payerly-eu"]}, "people", staff["agent2"]),
    )
    for kind, name, wish, by, who in waiting:
        why = "Splitting into small ones has become a habit; let two people look."
        scene.changes[kind] = services.propose_change(kind, name, wish, staff[by], why, person=who)


def _agreed(scene: Scene, kind: str, subject: str, wish: dict[str, Any], why: str, who: User | None = None) -> None:
    change = services.propose_change(kind, subject, wish, scene.staff["gatekeeper"], why, person=who)
    services.confirm_change(change.pk, scene.staff["gatekeeper2"])


@transaction.atomic
def _stuck(refund: Refund, ends: str, **fields: Any) -> Refund:
    """Approved and sent four hours ago, without a word since; no worker is asked to go on with it."""
    services.approve_refund(refund.pk, person("approver"), seen=refund.version)
    refund, sent = locked(refund.pk), timezone.now() - timedelta(hours=4)
    due = {"lease_until": timezone.now(), "sent_at": sent, "fence": 1, "ask_at": None}
    take_step(refund, "sending", WORKER, move=refund.claim, **due)
    said = "" if ends == "accept" else "The line was cut after 30 s, before an answer came."
    outcome = Attempt.Outcome.ANSWERED if ends == "accept" else Attempt.Outcome.NO_ANSWER
    Attempt.objects.create(
        refund=refund, kind="send", fence=1, outcome=outcome, said=said, started_at=sent, finished_at=sent
    )
    step = "processing" if ends == "accept" else "no answer"
    take_step(refund, step, WORKER, move=getattr(refund, ends), text=said, ask_at=None)
    Refund.objects.filter(pk=refund.pk).update(**fields)
    return Refund.objects.select_related("payment", "account").get(pk=refund.pk)


def _unmatched(refund: Refund) -> UnmatchedRefund:
    return UnmatchedRefund.objects.create(
        account=refund.account,
        payment=refund.payment,
        source=UnmatchedRefund.Source.LOOK_UP,
        payment_reference=refund.payment.reference,
        reference="5b0e77c1-90aa-4d6e-8f1e-2c1b7d3f9a10",
        amount=refund.amount,
        currency=refund.payment.currency,
        outcome="succeeded",
        why="They show it, but it could be one of ours that is on its way.",
        seen_at=timezone.now() - timedelta(minutes=25),
    )


def play(scene: Scene) -> None:
    """What needs a worker and the sandbox: the story is chosen by the amount's last two digits."""
    scene.send(scene.ask("SO-48213", 1000, ticket="ZD-10431", internal_note="Parcel is back at dock 4."), "succeeded")
    scene.send(scene.ask("SO-48260", 5001, "Cancelled order"), "failed")

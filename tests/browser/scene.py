"""A desk with work on it: payments, and a refund in every state that a person meets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.auth.models import Group, User
from django.utils import timezone

from refunds import services
from refunds.models import Payment, Refund, RefundReason
from tests.builders import make_payment, person
from tests.house import until_status

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
        }.items()
    }
    staff["maria"] = person("maria")
    staff["maria"].groups.set(Group.objects.all())
    return staff


@dataclass
class Scene:
    """Payments by order and refunds by status; of the requested ones the first."""

    staff: dict[str, User]
    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)

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
    return scene


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


def play(scene: Scene) -> None:
    """What needs a worker and the sandbox: the story is chosen by the amount's last two digits."""
    scene.send(scene.ask("SO-48213", 1000, ticket="ZD-10431", internal_note="Parcel is back at dock 4."), "succeeded")
    scene.send(scene.ask("SO-48260", 5001, "Cancelled order"), "failed")

"""Forgetting a customer: name and e-mail are blanked; what was paid, and who decided it, stays."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F

from refunds.errors import BadInput
from refunds.models import Payment
from refunds.services.actor import Actor
from refunds.services.journal import write_line

FORGOTTEN = "The customer's name and e-mail address were forgotten."


def forget_customer(email: str, by: Actor) -> list[Payment]:
    """Blank name and e-mail on every payment of this address; each gets a journal line. Returns those payments."""
    if "@" not in email:
        raise BadInput(f"{email!r} is not an e-mail address.")
    found = Payment.objects.filter(customer_email__iexact=email.strip()).order_by("pk")
    return [_forget(pk, by) for pk in list(found.values_list("pk", flat=True))]


@transaction.atomic
def _forget(payment_id: int, by: Actor) -> Payment:
    payment = Payment.objects.select_for_update(of=("self",)).get(pk=payment_id)
    blank = {"customer_name": "", "customer_email": ""}
    Payment.objects.filter(pk=payment.pk).update(version=F("version") + 1, **blank)
    payment = Payment.objects.get(pk=payment.pk)
    write_line(payment, "customer forgotten", by, was=payment.status, text=FORGOTTEN)
    return payment

"""What a stranger found by reading the desk: proofs, guards, cards and language."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone

from refunds import guards, services
from refunds.admin.lines import to_undo
from refunds.models import Preference
from tests.builders import again, approved, ask, bert, bob, dora, erik, make_payment

pytestmark = pytest.mark.django_db
CARD = "4111111111111111"


@pytest.mark.once
def test_only_a_decision_on_one_refund_keeps_the_long_proof(client: Client) -> None:
    """After twenty minutes of deciding, what is no such decision asks again who it is."""
    waits = [ask(make_payment(reference=f"pay-{n}")) for n in range(6)]
    sent = approved(make_payment(reference="pay-sent"))
    with time_machine.travel(timezone.now(), tick=False) as clock:
        client.post("/accounts/login/", {"login": bob().username, "password": "demo"})
        for refund in waits:
            clock.shift(timedelta(minutes=4))
            answer = client.post(f"/admin/refunds/refund/{refund.pk}/step/approve/", {"seen": refund.version})
            assert again(refund).status == "approved", answer
        for step in ("send", "unapprove"):
            answer = client.post(f"/admin/refunds/refund/{sent.pk}/step/{step}/", {"seen": sent.version, "text": "So."})
            assert "/accounts/again/" in answer["Location"]
    assert again(sent).version == sent.version


def test_a_step_back_of_the_batches_leaves_the_other_guards(transactional_db: None) -> None:
    executor = MigrationExecutor(connection)
    before = guards.missing(connection)
    try:
        executor.migrate([("refunds", "0006_notices")])
        missing = [name for name in guards.missing(connection) if not re.search("batch|guard_archive", name)]
    finally:
        MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    assert (before, missing) == ([], [])


@pytest.mark.once
def test_a_card_in_a_filter_is_neither_repeated_nor_kept(client: Client) -> None:
    client.force_login(erik())
    page = client.get(f"/admin/refunds/refund/?customer={CARD}", follow=True).content.decode()
    assert CARD not in page
    address = f"/admin/refunds/refund/export/?customer={CARD}%40x.example"
    client.post(address, {"table": "refunds", "format": "csv"})
    assert not any(CARD in text for text in LogEntry.objects.values_list("change_message", flat=True))


def test_a_nul_in_the_customers_address_is_refused(client: Client) -> None:
    client.force_login(erik())
    answer = client.get("/admin/refunds/refund/", {"customer": "\0@x.example"})
    assert answer.status_code == 200
    assert "is no e-mail address" in answer.content.decode()


@pytest.mark.once
def test_nobody_is_offered_to_undo_another_persons_approval(settings: Any) -> None:
    settings.APPROVAL_HOLD_SECONDS = 600
    refund = ask(make_payment())
    refund = services.approve_refund(refund.pk, bob(), seen=refund.version)
    assert [held.refund for held in to_undo(bob())] == [refund]
    refund = services.unapprove_refund(refund.pk, bob(), "", seen=refund.version)
    refund = services.approve_refund(refund.pk, bert(), seen=refund.version)
    assert [held.refund for held in to_undo(bert())] == [refund]
    assert to_undo(bob()) == []


@pytest.mark.once
def test_who_goes_back_to_the_browsers_language_is_told_so_in_it(client: Client) -> None:
    person = dora()
    Preference.objects.create(person=person, language="en")
    client.force_login(person)
    fields = {"language": "", "time_zone": "", "to_decide": "digest", "own": "each"}
    page = client.post("/accounts/preferences/", fields, headers={"accept-language": "pl"}, follow=True)
    assert "Your preferences are saved." not in page.content.decode()

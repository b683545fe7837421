"""Accounts: paused with a reason, and a changed webhook key accepted only as the gateway offered it."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from refunds import services
from refunds.models import Account
from tests.builders import LONG_AGO, alice, approved, ask, bob, carol, make_account, person
from tests.refunds.test_refund_screens import at_the_desk

pytestmark = pytest.mark.django_db


def gina() -> object:
    return person("gina", "Gateway admins")


def step(account: Account, name: str) -> str:
    return reverse("admin:refunds_account_step", args=(account.pk, name))


def test_a_pause_holds_what_is_approved_and_says_why() -> None:
    refund = approved()
    at_the_desk(gina()).post(step(refund.account, "pause"), {"text": "Audit until noon."})
    assert Account.objects.get().paused_because == "Audit until noon."
    page = at_the_desk(bob()).get(reverse("admin:refunds_refund_change", args=(refund.pk,))).content.decode()
    assert "Audit until noon." in page
    assert "Audit until noon." in str(LogEntry.objects.get())
    at_the_desk(gina()).post(step(refund.account, "resume"))
    assert Account.objects.get().paused_because == ""


def test_a_pause_needs_its_reason() -> None:
    at_the_desk(gina()).post(step(make_account(), "pause"), {"text": " "})
    assert Account.objects.get().paused_because == ""


def test_only_the_key_that_the_gateway_offers_can_be_accepted() -> None:
    account = make_account(webhook_key="old", webhook_key_offered="new")
    posted = {"webhook_key": "mine", "webhook_key_offered": "mine", "text": "mine"}
    page = reverse("admin:refunds_account_change", args=(account.pk,))
    assert at_the_desk(gina()).post(page, posted).status_code == 405
    assert Account.objects.get().webhook_key == "old"
    at_the_desk(gina()).post(step(account, "key"), posted)
    assert Account.objects.get().webhook_key == "old", "it is not the key that the page showed"
    shown = {"text": services.fingerprint("new")}
    at_the_desk(gina()).post(step(account, "key"), shown)
    assert (Account.objects.get().webhook_key, Account.objects.get().webhook_key_offered) == ("new", "")
    at_the_desk(gina()).post(step(account, "key"), shown)
    assert Account.objects.get().webhook_key == "new"


@pytest.mark.parametrize("name", ["pause", "resume", "try", "key"])
def test_nobody_else_decides_about_an_account_and_get_does_nothing(name: str) -> None:
    account = make_account(
        webhook_key="old", webhook_key_offered="new", paused_because="audit", breaker_until=LONG_AGO, accidents=5
    )
    for user in (alice(), bob(), carol()):
        assert at_the_desk(user).post(step(account, name), {"text": "x"}).status_code == 403
    assert at_the_desk(gina()).get(step(account, name)).status_code == 405
    account.refresh_from_db()
    assert (account.webhook_key, account.paused_because, account.breaker_until) == ("old", "audit", LONG_AGO)


def test_a_pause_is_seen_before_anybody_approves() -> None:
    account = make_account(paused_because="Audit until noon.")
    refund = ask()
    assert refund.account == account
    desk = at_the_desk(bob())
    for url in (
        reverse("admin:refunds_refund_change", args=(refund.pk,)),
        reverse("admin:refunds_refund_step", args=(refund.pk, "approve")),
    ):
        assert "Audit until noon." in desk.get(url).content.decode()
    picked = {"action": "approve_selected", "_selected_action": [refund.pk]}
    assert ">Paused<" in desk.post(reverse("admin:refunds_refund_changelist"), picked).content.decode()

"""Fresh proof: approving and declaring ask who one is, and a request that comes too late waits and loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from refunds import services
from refunds.models import Declaration, Refund
from tests.builders import again, ask, bob, dora, erik, make_payment
from tests.builders import approved as approved_refund
from tests.people.desk import code_of, give_code, log_in, prove, set_up_app, step, words
from tests.refunds.test_declare import lost

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NOON = "2026-11-20T12:00:00Z"
LIST = "admin:refunds_refund_changelist"


def late(user: User, clock: Any, minutes: float = 6) -> Client:
    """Somebody who logged in a while ago."""
    client = log_in(user)
    clock.shift(minutes * 60)
    return client


def pick(client: Client, refunds: list[Refund], query: str = "", **more: Any) -> HttpResponse:
    fields = {"action": "approve_selected", "_selected_action": [refund.pk for refund in refunds], **more}
    return client.post(reverse(LIST) + query, fields)


def approve(client: Client, refund: Refund) -> HttpResponse:
    return client.post(step(refund, "approve"), {"seen": again(refund).version})


@pytest.mark.promise("I33")
@pytest.mark.parametrize("name", ["approve", "return", "reject", "unapprove", "send"])
def test_each_step_of_an_approver_waits_for_a_proof_and_then_happens(name: str) -> None:
    refund = approved_refund() if name in ("unapprove", "send") else ask()
    with time_machine.travel(NOON, tick=False) as clock:
        client = late(bob(), clock)
        before = (again(refund).version, refund.events.count())
        asked = client.get(step(refund, name))
        assert asked["Location"].startswith(reverse("account_reauthenticate"))
        assert prove(client, asked)["Location"] == step(refund, name)
        clock.shift(6 * 60)
        went = client.post(step(refund, name), {"seen": before[0], "text": "The parcel's number?"})
        assert (again(refund).version, refund.events.count()) == before
        assert prove(client, went, password="wrong").status_code == 200
        assert (again(refund).version, refund.events.count()) == before
        prove(client, went)
        assert refund.events.count() > before[1]
        if name in ("return", "reject", "unapprove"):
            assert refund.events.last().text == "The parcel's number?"


@pytest.mark.promise("I33")
def test_one_proof_covers_all_the_picked_refunds_and_none_is_unpicked_by_it() -> None:
    payment = make_payment(50_000)
    refunds = [ask(payment, 100 + number) for number in range(5)]
    with time_machine.travel(NOON, tick=False) as clock:
        client = late(bob(), clock)
        went = pick(client, refunds[:3], "?q=example.com&o=1")
        asking = prove(client, went)
        assert asking.status_code == 200
        assert words(asking).count('name="_selected_action"') == 3
        assert 'href="/admin/refunds/refund/?q=example.com&amp;o=1"' in words(asking)
        clock.shift(6 * 60)
        seen = {f"seen_{refund.pk}": refund.version for refund in refunds[:3]}
        went = pick(client, refunds[:3], "?q=example.com&o=1", confirmed="yes", **seen)
        assert not any(refund.approvals.exists() for refund in refunds)
        result = client.get(prove(client, went)["Location"])
        assert "3 done" in words(result)
        assert 'href="/admin/refunds/refund/?q=example.com&amp;o=1"' in words(result)
        assert [again(refund).status for refund in refunds] == ["approved"] * 3 + ["requested"] * 2


@pytest.mark.promise("I33")
def test_declaring_waits_for_a_proof_and_keeps_what_was_typed(evidence_folder: Any) -> None:
    refund = lost()
    pages = {
        name: reverse(f"admin:refunds_refund_{name}", args=(refund.pk,)) for name in ("declare", "confirm", "drop")
    }
    typed = {"outcome": "succeeded", "note": "Seen on the statement.", "ticket": "T-1", "seen": again(refund).version}
    with time_machine.travel(NOON, tick=False) as clock:
        first, second = late(dora(), clock), log_in(erik())
        clock.shift(6 * 60)
        went = first.post(pages["declare"], typed)
        assert not Declaration.objects.exists()
        prove(first, went)
        assert Declaration.objects.get().note == "Seen on the statement."
        for name in ("confirm", "drop"):
            assert second.get(pages[name]).status_code == 302
        went = second.post(pages["confirm"], {"seen": again(refund).version})
        assert again(refund).status == "unknown"
        prove(second, went)
        assert again(refund).status == "succeeded"


def test_a_file_that_waited_has_to_be_chosen_again_and_nothing_is_proposed_without_it(evidence_folder: Any) -> None:
    refund = lost()
    url = reverse("admin:refunds_refund_declare", args=(refund.pk,))
    typed = {"outcome": "succeeded", "note": "Seen on the statement.", "ticket": "T-1", "seen": again(refund).version}
    with time_machine.travel(NOON, tick=False) as clock:
        client = late(dora(), clock)
        went = client.post(url, {**typed, "evidence": SimpleUploadedFile("statement.png", b"png")})
        answer = prove(client, went)
        assert answer.status_code == 409
        assert "Seen on the statement." in words(answer)
        assert "the file has to be chosen again" in words(answer)
        assert not Declaration.objects.exists()


@pytest.mark.promise("I33")
def test_a_login_is_fresh_for_five_minutes_and_acts_extend_it_to_fifteen() -> None:
    payment = make_payment(50_000)
    refunds = [ask(payment, 100 + number) for number in range(6)]
    with time_machine.travel(NOON, tick=False) as clock:
        client = log_in(bob())
        for refund, minutes in zip(refunds[:3], (5, 5, 5), strict=True):  # at 5, 10 and 15
            clock.shift(minutes * 60)
            pick(client, [refund], confirmed="yes", **{f"seen_{refund.pk}": refund.version})
            assert again(refund).status == "approved"
        clock.shift(1)
        pick(client, [refunds[3]], confirmed="yes", **{f"seen_{refunds[3].pk}": refunds[3].version})
        assert again(refunds[3]).status == "requested"
        client = log_in(bob())
        clock.shift(5 * 60 + 1)
        approve(client, refunds[4])
        assert again(refunds[4]).status == "requested"
        assert client.get(reverse(LIST)).status_code == 200  # reading takes no proof, and gives none
        assert client.get(step(refunds[5], "approve")).status_code == 302


@pytest.mark.promise("I33")
def test_deciding_on_one_after_the_other_extends_it_to_an_hour_and_a_break_or_a_look_does_not() -> None:
    payment = make_payment(50_000)
    refunds = [ask(payment, 100 + number) for number in range(15)]
    with time_machine.travel(NOON, tick=False) as clock:
        client = log_in(bob())
        for refund in refunds[:12]:  # at 5, 10 and so on until 60
            clock.shift(5 * 60)
            approve(client, refund)
            assert again(refund).status == "approved"
        clock.shift(1)
        approve(client, refunds[12])
        assert again(refunds[12]).status == "requested"
        client = log_in(bob())
        clock.shift(4 * 60)
        assert client.get(step(refunds[13], "approve")).status_code == 200  # a look
        clock.shift(61)
        approve(client, refunds[13])
        assert again(refunds[13]).status == "requested"


@pytest.mark.promise("I33")
def test_who_has_set_the_longest_proof_by_hand_has_not_agreed_to_a_longer_one() -> None:
    ask_settings = "from refunds_site import settings; print(settings.FRESH_DECIDING_AT_MOST_MINUTES)"
    found = []
    for set_by_hand in ({}, {"FRESH_LOGIN_AT_MOST_MINUTES": "10"}):
        environment = {**os.environ, **set_by_hand}
        run = subprocess.run([sys.executable, "-c", ask_settings], env=environment, capture_output=True, check=True)
        found.append(run.stdout.decode().strip())
    assert found == ["60", "10"]


@pytest.mark.promise("I33")
def test_who_has_a_second_factor_proves_by_it_and_not_by_the_password() -> None:
    refund = ask()
    with time_machine.travel(NOON, tick=False) as clock:
        secret = set_up_app(log_in(bob()))
        clock.shift(60)
        client = log_in(bob())
        give_code(client, code_of(secret))
        clock.shift(6 * 60)
        went = approve(client, refund)
        led = client.post(went["Location"], {"password": "demo"})
        assert led["Location"].startswith(reverse("mfa_reauthenticate"))
        assert again(refund).status == "requested"
        used = code_of(secret, steps=-1)
        client.post(reverse("mfa_reauthenticate"), {"code": used})
        assert again(refund).status == "approved"
        clock.shift(6 * 60)
        other = ask(refund.payment, 200)
        approve(client, other)
        client.post(reverse("mfa_reauthenticate"), {"code": used})
        assert again(other).status == "requested"


@pytest.mark.promise("I33")
def test_a_password_is_no_proof_any_more_once_there_is_a_second_factor() -> None:
    refund = ask()
    with time_machine.travel(NOON, tick=False):
        early = log_in(bob())
        set_up_app(log_in(bob()))
        assert approve(early, refund)["Location"].startswith(reverse("account_reauthenticate"))
        assert again(refund).status == "requested"


@pytest.mark.promise("I33")
def test_what_was_given_up_is_not_done_by_the_proof_for_something_else() -> None:
    payment = make_payment(50_000)
    given_up, wanted = ask(payment, 100), ask(payment, 200)
    with time_machine.travel(NOON, tick=False) as clock:
        client = late(bob(), clock)
        approve(client, given_up)
        asked = client.get(step(wanted, "approve"))
        assert prove(client, asked)["Location"] == step(wanted, "approve")
        assert again(given_up).status == "requested"


def test_what_waits_too_long_is_shown_again_instead_of_done() -> None:
    refund = ask()
    with time_machine.travel(NOON, tick=False) as clock:
        client = late(bob(), clock)
        went = approve(client, refund)
        clock.shift(10 * 60 + 1)
        assert prove(client, went)["Location"].startswith(step(refund, "approve"))
        assert again(refund).status == "requested"


def test_a_stale_page_is_refused_after_the_proof_as_before_it() -> None:
    refund = ask()
    with time_machine.travel(NOON, tick=False) as clock:
        client = late(bob(), clock)
        went = client.post(step(refund, "approve"), {"seen": refund.version})
        services.return_refund(refund.pk, bob(), "Why?", seen=refund.version)
        assert prove(client, went).status_code in (403, 409)
        assert again(refund).status == "returned"


def test_a_request_that_waits_keeps_no_header_and_nothing_of_the_environment(monkeypatch: Any) -> None:
    monkeypatch.setenv("CANARY", "canary-of-the-environment")
    refund = ask()
    with time_machine.travel(NOON, tick=False) as clock:
        client = late(bob(), clock)
        fields = {"seen": refund.version, "csrfmiddlewaretoken": "canary-of-the-form"}
        client.post(step(refund, "reject"), fields, HTTP_X_CANARY="canary-of-a-header", **os.environ)
        kept = str([session.get_decoded() for session in Session.objects.all()])
        assert "canary" not in kept
        assert f"seen={refund.version}" in kept


def test_asking_withdrawing_and_reading_take_no_proof() -> None:
    refund = ask()
    with time_machine.travel(NOON, tick=False) as clock:
        client = late(refund.requested_by, clock)
        client.post(step(refund, "withdraw"), {"seen": refund.version})
        assert again(refund).status == "withdrawn"

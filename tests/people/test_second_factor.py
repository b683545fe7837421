"""The second factor: nothing of the desk answers a decider without one, and no code is taken twice."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse

from refunds_site import second_factor
from tests.builders import again, alice, ask, bob, carol, dora, person
from tests.people.desk import code_of, give_code, is_in, log_in, set_up_app, step, words

pytestmark = pytest.mark.django_db
NOON = "2026-11-20T12:00:00Z"


@pytest.fixture
def required(settings: Any) -> None:
    settings.SECOND_FACTOR = "required"


def deciders() -> list[User]:
    groups = {"bob": "Approvers", "dora": "Finance", "uma": "User admins", "gus": "Gateway admins"}
    return [*(person(*one) for one in groups.items()), person("root", is_superuser=True)]


@pytest.mark.promise("I33")
def test_a_decider_without_a_second_factor_gets_only_to_setting_one_up(required: None) -> None:
    refund = ask()
    pages = [
        reverse("admin:index"),
        reverse("admin:refunds_refund_changelist"),
        reverse("admin:refunds_refund_change", args=(refund.pk,)),
        reverse("admin:auth_user_changelist"),
        reverse("admin:jsi18n"),
        step(refund, "approve"),
    ]
    for user in deciders():
        client = log_in(user)
        for page in pages:
            for method in (client.get, client.post):
                answer = method(page, {"seen": 1})
                assert (answer.status_code, answer["Location"]) == (302, reverse("mfa_index")), (user, page)
        assert "needs a second factor" in words(client.get(reverse("mfa_index")))
        assert client.get(reverse("mfa_activate_totp")).status_code == 200
        assert client.get(reverse("mfa_add_webauthn")).status_code == 200
    assert again(refund).status == "requested"
    assert not refund.approvals.exists()


def test_who_decides_nothing_needs_none(required: None) -> None:
    assert is_in(log_in(alice()))
    assert is_in(log_in(carol()))


def test_where_it_is_optional_nobody_needs_one() -> None:
    assert is_in(log_in(bob()))


@pytest.mark.promise("I33")
def test_with_the_app_set_up_the_desk_opens_and_the_next_login_asks_for_a_code(required: None) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        client = log_in(bob())
        secret = set_up_app(client)
        assert is_in(client)
        clock.shift(60)
        client = log_in(bob())
        assert not is_in(client)
        assert "_auth_user_id" not in client.session
        assert "Incorrect" in words(give_code(client, "000000"))
        assert not is_in(client)
        assert give_code(client, code_of(secret))["Location"] == reverse("admin:index")
        assert is_in(client)


@pytest.mark.promise("I33")
def test_a_code_is_taken_once_wherever_it_is_typed(required: None) -> None:
    """It stays good for a step before and after; remembered for its own half minute only, it could be used again."""
    with time_machine.travel(NOON, tick=False) as clock:
        client = log_in(bob())
        secret = set_up_app(client)
        set_up_with = code_of(secret)
        assert "Incorrect" in words(give_code(log_in(bob()), set_up_with))
        clock.shift(60)
        ahead = code_of(secret, steps=1)  # a telephone that is half a minute fast
        assert give_code(log_in(bob()), ahead).status_code == 302
        for _ in range(3):
            other = log_in(bob())
            assert "Incorrect" in words(give_code(other, f"{ahead[:3]} {ahead[3:]}"))
            assert not is_in(other)
            clock.shift(29)
        client.get(step(ask(), "approve"))
        used = code_of(secret)
        assert client.post(reverse("mfa_reauthenticate"), {"code": used}).status_code == 302
        assert "Incorrect" in words(client.post(reverse("mfa_reauthenticate"), {"code": used}))


@pytest.mark.promise("I33")
@pytest.mark.django_db(transaction=True)
def test_of_many_who_give_a_code_at_once_one_is_let_in(trials: Any) -> None:
    user, taken, n_rounds, n_at_once = bob(), [], 20, 4
    for number in range(n_rounds):
        ready = threading.Barrier(n_at_once)

        def give(code: str, ready: threading.Barrier = ready) -> None:
            ready.wait()
            taken.append(second_factor.spend(user, code) and code)
            connection.close()

        threads = [threading.Thread(target=give, args=(f"{number:06}",)) for _ in range(n_at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    winners = [code for code in taken if code]
    assert len(taken) == n_rounds * n_at_once
    assert sorted(winners) == sorted(set(winners))
    assert len(winners) >= n_rounds // 2  # a busy database may refuse, never take twice
    trials(n_rounds)


def test_five_wrong_codes_lock_them_for_half_an_hour_even_for_the_right_one() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        secret = set_up_app(log_in(bob()))
        clock.shift(60)
        client = log_in(bob())
        for _ in range(5):
            assert "Incorrect" in words(give_code(client, "000000"))
        assert "Too many" in words(give_code(client, code_of(secret)))
        clock.shift(29 * 60)
        client = log_in(bob())
        assert "Too many" in words(give_code(client, code_of(secret)))
        clock.shift(2 * 60)
        client = log_in(bob())
        assert give_code(client, code_of(secret)).status_code == 302


def test_five_wrong_passwords_lock_the_name_for_half_an_hour() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(5):
            log_in(alice(), "wrong")
        assert not is_in(log_in(alice()))
        clock.shift(29 * 60)
        assert not is_in(log_in(alice()))
        clock.shift(2 * 60)
        assert is_in(log_in(alice()))


def test_a_recovery_code_lets_in_once_and_is_shown_once(required: None) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        client = log_in(bob())
        set_up_app(client)
        codes = re.findall(r"<li>(\d{8})</li>", words(client.get(reverse("mfa_view_recovery_codes"))))
        assert len(codes) == 10
        assert not set(codes) & set(re.findall(r"\d{8}", words(client.get(reverse("mfa_view_recovery_codes")))))
        client = log_in(bob())
        assert give_code(client, codes[0]).status_code == 302
        assert is_in(client)
        clock.shift(3600)
        cache.clear()  # what the cache forgets, the row still knows
        assert "Incorrect" in words(give_code(log_in(bob()), codes[0]))
        assert give_code(log_in(bob()), codes[1]).status_code == 302


def test_a_session_without_the_factor_is_asked_for_it_once_it_exists(required: None) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        early, other = log_in(bob()), log_in(bob())
        secret = set_up_app(other)
        clock.shift(60)
        went = early.get(reverse("admin:index"))
        assert went["Location"].startswith(reverse("mfa_reauthenticate"))
        assert not is_in(early)
        early.post(reverse("mfa_reauthenticate"), {"code": code_of(secret)})
        assert is_in(early)


def test_who_removes_it_is_back_where_one_is_set_up(required: None) -> None:
    client = log_in(bob())
    set_up_app(client)
    assert client.post(reverse("mfa_deactivate_totp")).status_code == 302
    assert not Authenticator.objects.filter(user=bob()).exists()
    assert client.get(reverse("admin:index"))["Location"] == reverse("mfa_index")


def test_its_secrets_are_sealed_in_the_database_and_open_with_the_key_before() -> None:
    client = log_in(dora())
    secret = set_up_app(client)
    kept = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in kept
    assert "gAAAA" in kept


def test_a_changed_key_of_the_site_still_opens_them_as_a_fallback(settings: Any) -> None:
    adapter = second_factor.Adapter()
    sealed = adapter.encrypt("JBSWY3DPEHPK3PXP")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another-" * 8, [settings.SECRET_KEY]
    assert adapter.decrypt(sealed) == "JBSWY3DPEHPK3PXP"


def test_what_another_key_has_sealed_opens_to_nobody_and_breaks_no_page(settings: Any) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        secret = set_up_app(log_in(bob()))
        clock.shift(60)
        settings.SECRET_KEY = "another-" * 8
        client = log_in(bob())
        assert "Incorrect" in words(give_code(client, code_of(secret)))
        assert not is_in(client)


def test_nobody_is_led_to_another_site_after_a_proof(required: None) -> None:
    client = log_in(alice())
    answer = client.post(reverse("account_reauthenticate"), {"password": "demo", "next": "https://evil.example/"})
    assert answer["Location"] == reverse("admin:index")


PAGES = ("mfa_index", "mfa_activate_totp", "mfa_add_webauthn", "account_reauthenticate", "account_change_password")


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_carry_no_inline_script_and_wear_the_desks_look(name: str) -> None:
    page = words(log_in(bob()).get(reverse(name)))
    assert "unfold/css/styles.css" in page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\son[a-z]+=", page)


def test_strangers_see_none_of_them() -> None:
    for name in PAGES:
        assert Client().get(reverse(name))["Location"].startswith(reverse("account_login"))

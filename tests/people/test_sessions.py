"""Sessions: how long they last, and what ends them."""

from __future__ import annotations

from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from refunds import services
from refunds.errors import BadInput
from tests.builders import alice, approved, bob, person, ute, uwe
from tests.people.desk import PASSWORD, is_in, log_in, words

pytestmark = pytest.mark.django_db
NOON = "2026-11-20T12:00:00Z"
HOME = "/admin/"


def key_of(client: Client) -> str:
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@pytest.mark.promise("I50")
def test_a_login_is_a_new_session_whatever_was_planted_before() -> None:
    planted = Client()
    session = planted.session
    session["planted"] = True
    session.save()
    planted.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    before = key_of(planted)
    planted.post(reverse("account_login"), {"login": alice().username, "password": PASSWORD})
    assert key_of(planted) != before
    assert is_in(planted)
    thief = Client()
    thief.cookies[settings.SESSION_COOKIE_NAME] = before
    assert not is_in(thief)


@pytest.mark.promise("I50")
def test_it_ends_after_fifteen_minutes_without_a_click() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        client = log_in(alice())
        for _ in range(4):
            clock.shift(14 * 60)
            assert is_in(client)
        clock.shift(15 * 60)
        went = client.get(HOME, follow=True)
        assert went.redirect_chain[-1][0].startswith(reverse("account_login"))
        assert "15 minutes without a click" in words(went)
        assert not Session.objects.exists() or not is_in(client)


@pytest.mark.promise("I50")
def test_it_ends_after_ten_hours_however_busy() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        client = log_in(alice())
        for _ in range(59):
            clock.shift(10 * 60)
            assert is_in(client)
        clock.shift(10 * 60)
        assert not is_in(client)


@pytest.mark.promise("I50")
def test_a_page_that_follows_a_refund_keeps_no_session_alive() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        page = reverse("admin:refunds_refund_change", args=(approved().pk,))
        client = log_in(bob())
        assert 'content="3; url=?following"' in words(client.get(page))
        for _ in range(14):
            clock.shift(60)
            assert client.get(page + "?following").status_code == 200
        clock.shift(60)
        assert client.get(page + "?following").status_code == 302
        assert not is_in(client)


def test_reading_costs_a_write_once_a_minute() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        client = log_in(alice())
        for seconds, n_writes in ((0, 0), (59, 0), (1, 1), (30, 0), (60, 1)):
            clock.shift(seconds)
            with CaptureQueriesContext(
                connection,
            ) as asked:
                assert is_in(client)
            written = [one for one in asked if one["sql"].startswith(("UPDATE", "INSERT", "DELETE"))]
            assert len(written) == n_writes


@pytest.mark.promise("I50")
def test_it_ends_with_logout_for_whoever_kept_the_cookie() -> None:
    client = log_in(alice())
    kept = Client()
    kept.cookies[settings.SESSION_COOKIE_NAME] = key_of(client)
    assert is_in(kept)
    client.post(reverse("account_logout"))
    assert not is_in(kept)


@pytest.mark.promise("I50")
def test_it_ends_with_a_new_password_everywhere() -> None:
    here, there = log_in(alice()), log_in(alice())
    new = {"oldpassword": PASSWORD, "password1": "a-quite-different-one", "password2": "a-quite-different-one"}
    here.post(reverse("account_change_password"), new)
    assert not is_in(here)
    assert not is_in(there)
    assert is_in(log_in(alice(), "a-quite-different-one"))


@pytest.mark.promise("I30", "I50")
def test_who_is_switched_off_is_out_at_once_and_stays_out_when_switched_on_again() -> None:
    client = log_in(alice())
    services.switch_off(alice())
    assert not is_in(client)
    User.objects.update(is_active=True)
    assert not is_in(client)


@pytest.mark.promise("I30", "I50")
def test_who_loses_a_group_logs_in_anew_and_others_do_not() -> None:
    demoted, other = [log_in(bob()), log_in(bob())], log_in(alice())
    assert services.set_groups(bob(), ["Auditors"])
    assert not any(is_in(client) for client in demoted)
    assert is_in(other)
    assert is_in(log_in(bob()))


@pytest.mark.promise("I30")
def test_a_right_that_came_with_a_group_is_gone_with_it_in_an_open_session() -> None:
    client = log_in(bob())
    page = reverse("admin:refunds_refund_step", args=(approved().pk, "unapprove"))
    assert client.get(page).status_code == 200
    bob().groups.clear()  # past the service, so that the session stays
    assert client.get(page).status_code == 403


def test_a_group_more_ends_nothing_and_no_change_is_none() -> None:
    client = log_in(bob())
    assert services.set_groups(bob(), ["Approvers", "Auditors"])
    assert not services.set_groups(bob(), ["Approvers", "Auditors"])
    assert is_in(client)


def test_groups_that_do_not_go_together_change_nothing() -> None:
    with pytest.raises(BadInput, match="moves no money"):
        services.set_groups(bob(), ["Approvers", "User admins"])
    with pytest.raises(BadInput, match="Directors"):
        services.set_groups(bob(), ["Directors"])
    assert [group.name for group in bob().groups.all()] == ["Approvers"]


@pytest.mark.promise("I50")
def test_a_demotion_and_switching_off_on_the_persons_page_end_sessions() -> None:
    uma, client = log_in(person("uma", "User admins")), log_in(bob())
    wish = {"groups": []}
    change = services.propose_change("groups", "bob", wish, ute(), "Has left the team.", person=bob())
    assert is_in(client)
    services.confirm_change(change.pk, uwe())
    assert not is_in(client)
    client = log_in(bob())
    uma.post(reverse("admin:auth_user_change", args=(bob().pk,)), {"username": "bob", "is_staff": "on"})
    assert not bob().is_active
    User.objects.update(is_active=True)
    assert not is_in(client)


def test_a_person_sees_and_ends_their_own_other_sessions() -> None:
    here, there, other = log_in(alice()), log_in(alice()), log_in(bob())
    page = words(here.get(reverse("mfa_index")))
    assert page.count("127.0.0.1") == 2
    assert "this one" in page
    here.post(reverse("usersessions_list"))
    assert is_in(here)
    assert not is_in(there)
    assert is_in(other)


def test_looking_at_the_page_changes_nothing() -> None:
    client: Any = log_in(alice())
    with CaptureQueriesContext(connection) as asked:
        client.get(reverse("mfa_index"))
    assert not [one for one in asked if one["sql"].startswith(("UPDATE", "INSERT", "DELETE"))]

"""Invitations: a person sets the password, once, and nobody else ever sees or sets it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch, reverse

from refunds import services
from refunds.errors import NotAllowed
from tests.builders import alice, bob, person
from tests.people.desk import is_in, log_in, set_up_app, words

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NOON = "2026-11-20T12:00:00Z"
GOOD = "a-quite-different-one"


@pytest.fixture
def post(settings: Any) -> None:
    settings.SENDS_MAIL = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def uma() -> User:
    return person("uma", "User admins")


def new_person(by: Client, name: str = "nina", **fields: str) -> User:
    by.post(reverse("admin:auth_user_add"), {"username": name, "email": "nina@example.com", **fields})
    return User.objects.get(username=name)


def printed(name: str, capsys: Any) -> str:
    call_command("invite", name)
    return urlsplit(capsys.readouterr().out.strip()).path


def use(link: str, password: str = GOOD) -> HttpResponse:
    client = Client()
    page = client.get(link, follow=True)
    if not page.redirect_chain:
        return page
    return client.post(page.redirect_chain[-1][0], {"password1": password, "password2": password})


def test_a_new_person_has_no_password_and_sets_one_by_the_printed_link(capsys: Any) -> None:
    nina = new_person(log_in(uma()), password1=GOOD, password2=GOOD, usable_password="true")
    assert not nina.has_usable_password()
    link = printed("nina", capsys)
    assert use(link)["Location"] == reverse("account_reset_password_from_key_done")
    assert is_in(log_in(nina, GOOD))


def test_the_link_is_good_once() -> None:
    link = urlsplit(services.invitation(alice())).path
    use(link)
    again = use(link, "yet-another-one-9")
    assert "used already" in words(again)
    assert is_in(log_in(alice(), GOOD))


def test_the_link_is_good_for_a_day(capsys: Any) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        link = printed(alice().username, capsys)
        clock.shift(24 * 3600 + 1)
        assert "older than 24 hours" in words(use(link))
        assert not is_in(log_in(alice(), GOOD))


def test_a_link_that_was_tampered_with_or_is_somebody_elses_opens_nothing() -> None:
    link = urlsplit(services.invitation(alice())).path
    swapped = link.replace(f"/{alice().pk:x}-", f"/{bob().pk:x}-")
    for bad in (link[:-2] + "x/", swapped if swapped != link else link + "x"):
        assert "not whole" in words(use(bad)) or use(bad).status_code == 404


def test_it_takes_a_good_password(settings: Any) -> None:
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
    assert "too short" in words(use(urlsplit(services.invitation(alice())).path, "demo2"))


@pytest.mark.promise("I50")
def test_a_new_password_ends_the_sessions_and_keeps_the_second_factor() -> None:
    client = log_in(bob())
    set_up_app(client)
    use(urlsplit(services.invitation(bob())).path)
    assert not is_in(client)
    assert not is_in(log_in(bob(), GOOD))  # the code is still asked for


def test_who_is_switched_off_gets_none_and_an_old_one_is_dead() -> None:
    link = urlsplit(services.invitation(alice())).path
    services.switch_off(alice())
    assert "used already" in words(use(link))
    with pytest.raises(NotAllowed, match="switched off"):
        services.invitation(alice())
    with pytest.raises(CommandError, match="no 'nobody'"):
        call_command("invite", "nobody")


def test_no_page_sets_another_persons_password() -> None:
    with pytest.raises(NoReverseMatch):
        reverse("admin:auth_user_password_change", args=(alice().pk,))
    client, before = log_in(uma()), alice().password
    assert client.get(f"/admin/auth/user/{alice().pk}/password/").status_code in (302, 404)
    fields = {"username": "alice", "is_active": "on", "is_staff": "on", "groups": []}
    passwords = {"password": "pbkdf2", "password1": GOOD, "password2": GOOD, "new_password1": GOOD}
    client.post(reverse("admin:auth_user_change", args=(alice().pk,)), {**fields, **passwords})
    assert alice().password == before
    assert before not in words(client.get(reverse("admin:auth_user_change", args=(alice().pk,))))


def test_no_two_names_differ_in_capital_letters_only() -> None:
    bob()
    answer = log_in(uma()).post(reverse("admin:auth_user_add"), {"username": "Bob"})
    assert "has this user name already" in words(answer)
    assert not User.objects.filter(username="Bob").exists()


def test_djangos_own_password_page_gives_way_to_ours() -> None:
    assert log_in(bob()).get("/admin/password_change/")["Location"] == reverse("account_change_password")


def test_the_button_sends_the_link_to_a_new_person(post: None) -> None:
    client = log_in(uma())
    nina = new_person(client)
    assert "Invite…" in words(client.get(reverse("admin:auth_user_change", args=(nina.pk,))))
    page = reverse("admin:auth_user_invite", args=(nina.pk,))
    assert "nina@example.com" in words(client.get(page))
    assert not mail.outbox
    client.post(page)
    (letter,) = mail.outbox
    assert letter.to == ["nina@example.com"]
    link = next(line for line in letter.body.splitlines() if line.startswith("https://refunds.example/"))
    use(urlsplit(link).path)
    assert is_in(log_in(nina, GOOD))


def test_nobody_takes_over_an_account_by_changing_its_address(post: None) -> None:
    client = log_in(uma())
    bob()
    User.objects.filter(username="bob").update(email="uma@example.com")
    client.post(reverse("admin:auth_user_invite", args=(bob().pk,)))
    assert not mail.outbox


def test_only_who_may_change_a_person_invites_them(post: None) -> None:
    nina = new_person(log_in(uma()))
    assert log_in(alice()).post(reverse("admin:auth_user_invite", args=(nina.pk,))).status_code == 403
    root = person("root", is_superuser=True, email="root@example.com")
    assert log_in(uma()).post(reverse("admin:auth_user_invite", args=(root.pk,))).status_code == 403
    assert not mail.outbox


def test_a_lost_device_is_taken_away_by_somebody_else(capsys: Any) -> None:
    client = log_in(bob())
    set_up_app(client)
    with pytest.raises(CommandError, match="their own"):
        call_command("reset_second_factor", "bob", by="bob")
    call_command("reset_second_factor", "bob", by=uma().username)
    assert "log in anew" in capsys.readouterr().out
    assert not is_in(client)
    assert is_in(log_in(bob()))

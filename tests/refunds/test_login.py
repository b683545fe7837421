"""The login: by user name and password, for staff only, in the desk's look, under a strict policy for scripts."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.urls import NoReverseMatch, reverse

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-enough-password"
PAGES = ("account_login", "account_logout", "account_change_password")


@pytest.fixture
def alice():
    return User.objects.create_user("alice", password=PASSWORD, is_staff=True)


def log_in(client, login="alice", password=PASSWORD, **more):
    return client.post(reverse("account_login"), {"login": login, "password": password, **more})


def test_the_front_door_leads_to_the_login(client):
    home = client.get("/", follow=True)
    assert home.redirect_chain[-1][0].startswith("/accounts/login/?next=")
    assert client.get("/admin/login/?next=/admin/x/")["Location"] == "/accounts/login/?next=%2Fadmin%2Fx%2F"


def test_djangos_own_login_form_answers_nobody(client, alice):
    answer = client.post("/admin/login/", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 302
    assert "_auth_user_id" not in client.session


def test_alice_logs_in_and_lands_where_she_wanted_to_go(client, alice):
    answer = log_in(client, next="/admin/auth/user/")
    assert answer["Location"] == "/admin/auth/user/"
    assert client.session["_auth_user_id"] == str(alice.pk)


def test_the_login_leads_to_no_other_site(client, alice):
    assert log_in(client, next="https://evil.example/")["Location"] == "/admin/"


def test_a_wrong_password_says_so_and_lets_nobody_in(client, alice):
    answer = log_in(client, password="wrong")
    assert answer.status_code == 200
    assert "not correct" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_guessing_locks_the_name_even_for_the_right_password(client, alice):
    for _ in range(5):
        log_in(client, password="wrong")
    assert "Too many failed login attempts" in log_in(client).content.decode()
    assert "_auth_user_id" not in client.session


def test_somebody_switched_off_does_not_get_in(client, alice):
    User.objects.update(is_active=False)
    answer = client.post(reverse("account_login"), {"login": "alice", "password": PASSWORD}, follow=True)
    assert "_auth_user_id" not in client.session
    assert answer.status_code == 200


def test_somebody_who_is_no_staff_sees_no_admin(client):
    client.force_login(User.objects.create_user("walk-in", password=PASSWORD))
    assert client.get("/admin/", follow=True).status_code == 403


@pytest.mark.parametrize("name", ["account_signup", "account_email", "account_reset_password"])
def test_nobody_signs_up_or_resets_by_himself(client, name):
    with pytest.raises(NoReverseMatch):
        reverse(name)
    assert client.get("/accounts/signup/").status_code == 404


def test_logging_out_takes_a_post(client, alice):
    client.force_login(alice)
    assert client.get(reverse("account_logout")).status_code == 200
    assert "_auth_user_id" in client.session
    client.post(reverse("account_logout"))
    assert "_auth_user_id" not in client.session


def test_a_new_password_must_be_a_good_one(client, alice):
    client.force_login(alice)
    url = reverse("account_change_password")
    for new, stays in (("demo", True), ("a-quite-different-one", False)):
        client.post(url, {"oldpassword": PASSWORD, "password1": new, "password2": new})
        alice.refresh_from_db()
        assert alice.check_password(PASSWORD) is stays


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_wear_the_desks_look_and_carry_no_inline_script(client, alice, name):
    if name != "account_login":
        client.force_login(alice)
    answer = client.get(reverse(name))
    page = answer.content.decode()
    assert "Refund desk" in page
    assert "unfold/css/styles.css" in page
    assert "--color-primary-600" in page
    assert 'x-data="theme' in page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\son[a-z]+=", page)
    assert "signup" not in page


def test_the_policy_relaxes_what_unfold_needs_and_nothing_more(client):
    answer = client.get(reverse("account_login"))
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";") if part.strip())
    assert policy == {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert answer["X-Frame-Options"] == "DENY"

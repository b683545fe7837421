"""Single sign-on against an issuer over real HTTP: who comes in, with which groups, and which tokens are refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import time_machine
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from refunds.models import Change
from refunds.services import identity
from tests.builders import again as as_now
from tests.builders import alice, ask, bob
from tests.people import issuer as issuers
from tests.people.desk import code_of, give_code, is_in, log_in, set_up_app, step, words
from tests.people.issuer import Issuer

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NOON = "2026-11-20T12:00:00Z"


@pytest.fixture
def issuer(settings: Any) -> Iterator[Issuer]:
    with issuers.running() as running:
        settings.OIDC_ISSUER, settings.OIDC_NAME = running.url, "Acme"
        settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = issuers.CLIENT, issuers.SECRET
        settings.OIDC_GROUPS = "refund-approvers=Approvers;support=Agents;helpdesk=User admins"
        settings.PUBLIC_URL = "https://refunds.example"
        settings.OIDC_PEOPLE_URL, settings.OIDC_PEOPLE_TOKEN = f"{running.url}/scim/Users", "canary-scim"
        yield running


def come_back(client: Client, went: HttpResponse) -> HttpResponse:
    """What the browser does at the issuer, and the way back from there."""
    assert went.status_code == 302, words(went)
    answer = requests.get(went["Location"], allow_redirects=False, timeout=10)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["Location"])
    return client.get(f"{back.path}?{back.query}")


def enter(issuer: Issuer, client: Client | None = None, **claims: Any) -> tuple[Client, HttpResponse]:
    issuer.claims |= claims
    client = client or Client()
    return client, come_back(client, client.post(reverse("sso_begin")))


def groups_of(name: str = "maria") -> set[str]:
    return set(User.objects.get(username=name).groups.values_list("name", flat=True))


# --- Who comes in ---


def test_a_person_with_a_mapped_group_comes_in_and_is_made_at_the_first_login(issuer: Issuer) -> None:
    told = {"email": "maria@example.com", "given_name": "Maria", "family_name": "Silva"}
    client, answer = enter(issuer, groups=["refund-approvers", "chess"], **told)
    assert answer["Location"] == reverse("admin:index")
    assert is_in(client)
    maria = User.objects.get(username="maria")
    assert (maria.get_full_name(), maria.email) == ("Maria Silva", "maria@example.com")
    assert (maria.is_staff, maria.is_superuser, maria.has_usable_password()) == (True, False, False)
    assert groups_of() == {"Approvers"}
    enter(issuer)
    assert User.objects.count() == 1


def test_the_login_page_offers_it_and_leads_on_to_where_one_wanted_to_go(issuer: Issuer) -> None:
    client = Client()
    assert "Log in by Acme" in words(client.get(reverse("account_login")))
    issuer.claims["groups"] = ["support"]
    went = client.post(reverse("sso_begin"), {"next": "/admin/refunds/refund/"})
    assert come_back(client, went)["Location"] == "/admin/refunds/refund/"
    went = Client().post(reverse("sso_begin"), {"next": "https://evil.example/"})
    assert "evil" not in str(went["Location"])
    assert client.get(reverse("sso_begin")).status_code == 405


@pytest.mark.parametrize("groups", [[], ["chess"], [{"name": "refund-approvers"}], "nonsense", None])
def test_without_a_mapped_group_nobody_is_made_and_a_sentence_says_why(issuer: Issuer, groups: Any) -> None:
    client, answer = enter(issuer, groups=groups)
    assert answer.status_code == 403
    assert "None of your groups at Acme opens anything here" in words(answer)
    assert not User.objects.exists()
    assert "_auth_user_id" not in client.session


def test_groups_that_do_not_go_together_give_none_and_say_so(issuer: Issuer) -> None:
    enter(issuer, groups=["refund-approvers"])
    client, answer = enter(issuer, groups=["refund-approvers", "helpdesk"])
    assert "do not go together" in words(answer)
    assert groups_of() == set()
    assert "_auth_user_id" not in client.session


@pytest.mark.promise("I30", "I50")
def test_a_group_removed_there_ends_rights_and_open_sessions_with_the_next_login(issuer: Issuer) -> None:
    first, _ = enter(issuer, groups=["refund-approvers", "support"])
    assert is_in(first)
    second, _ = enter(issuer, groups=["support"])
    assert groups_of() == {"Agents"}
    assert not is_in(first)
    assert is_in(second)
    told = Change.objects.order_by("pk").values_list("source", "subject", "before__groups", "after__groups")
    both = ["Agents", "Approvers"]
    assert list(told) == [("provider", "maria", [], both), ("provider", "maria", both, ["Agents"])]


def test_claims_make_neither_superusers_nor_staff(issuer: Issuer) -> None:
    enter(issuer, groups=["support"], is_superuser=True, is_staff=True, superuser="true", roles=["admin"])
    maria = User.objects.get(username="maria")
    assert not maria.is_superuser
    enter(issuer, groups=[])
    maria.refresh_from_db()
    assert not maria.is_staff


def test_nobody_is_taken_for_somebody_else_by_name_or_address(issuer: Issuer) -> None:
    User.objects.filter(pk=bob().pk).update(email="bob@example.com")
    EmailAddress.objects.create(user=bob(), email="bob@example.com", verified=True, primary=True)
    same = {"preferred_username": "bob", "email": "bob@example.com", "email_verified": True}
    client, _ = enter(issuer, groups=["support"], **same)
    assert client.session["_auth_user_id"] != str(bob().pk)
    assert groups_of("bob") == {"Approvers"}
    assert SocialAccount.objects.get().user != bob()


def test_the_same_sub_at_another_issuer_is_somebody_else(issuer: Issuer, settings: Any) -> None:
    enter(issuer, groups=["support"])
    with issuers.running() as other:
        settings.OIDC_ISSUER = other.url
        enter(other, groups=["refund-approvers"])
    assert groups_of() == {"Agents"}
    assert SocialAccount.objects.values("provider").distinct().count() == 2


def test_who_is_switched_off_here_does_not_come_in_there(issuer: Issuer) -> None:
    enter(issuer, groups=["support"])
    User.objects.update(is_active=False)
    client, answer = enter(issuer)
    assert answer["Location"] == reverse("account_inactive")
    assert "_auth_user_id" not in client.session


def test_no_token_and_no_secret_is_kept_or_logged(issuer: Issuer, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    enter(issuer, groups=["support"])
    assert not SocialToken.objects.exists()
    kept = str([one.get_decoded() for one in Session.objects.all()]) + str(list(SocialAccount.objects.values()))
    for canary in ("canary-access", issuers.SECRET, "eyJ"):
        assert canary not in kept
        assert canary not in caplog.text


# --- Tokens and answers that are refused ---

LIES: dict[str, dict[str, Any]] = {
    "wrong nonce": {"lies": {"nonce": "another-nonce-0123456789"}},
    "no nonce": {"lies": {"nonce": None}},
    "wrong issuer": {"lies": {"iss": "https://evil.example"}},
    "wrong audience": {"lies": {"aud": "another-client"}},
    "made for another party": {"lies": {"aud": [issuers.CLIENT, "x"], "azp": "x"}},
    "expired": {"lies": {"exp": 1_700_000_000}},
    "without an end": {"lies": {"exp": None}},
    "of tomorrow": {"lies": {"iat": 4_000_000_000}},
    "without sub": {"lies": {"sub": None}},
    "empty sub": {"lies": {"sub": ""}},
    "a stranger's signature": {"signs": "stranger"},
    "an unknown key": {"signs": "kid"},
    "not signed": {"signs": "none"},
    "signed with the public key": {"signs": "HS256"},
    "another name in the discovery": {"config": {"issuer": "https://evil.example"}},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_token_that_lies_lets_nobody_in(issuer: Issuer, lie: str) -> None:
    client = Client()
    went = client.post(reverse("sso_begin"))
    for name, value in LIES[lie].items():
        setattr(issuer, name, value)
    issuer.claims["groups"] = ["refund-approvers"]
    answer = come_back(client, went)
    assert answer.status_code == (502 if "config" in LIES[lie] else 401)
    assert ("not set up as it should be" if "config" in LIES[lie] else "could not be trusted") in words(answer)
    assert not User.objects.exists()
    assert "_auth_user_id" not in client.session


def test_an_answer_is_good_once_and_only_in_the_browser_that_began(issuer: Issuer) -> None:
    issuer.claims["groups"] = ["support"]
    client, thief = Client(), Client()
    at_issuer = requests.get(client.post(reverse("sso_begin"))["Location"], allow_redirects=False, timeout=10)
    back = urlsplit(at_issuer.headers["Location"])
    address = f"{back.path}?{back.query}"
    assert thief.get(address).status_code == 401
    assert client.get(address).status_code == 302
    client.post(reverse("account_logout"))
    assert client.get(address).status_code == 401


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://localhost/x", "//evil.example/x", "file:///etc/passwd"]
)
def test_nothing_but_the_issuers_host_is_asked(issuer: Issuer, name: str, url: str) -> None:
    issuer.config = {name: url}
    answer = Client().post(reverse("sso_begin"))
    assert answer.status_code == 502
    assert issuer.asked == ["/.well-known/openid-configuration"]


def test_an_issuer_that_breaks_on_the_way_back_is_a_sentence(issuer: Issuer) -> None:
    client = Client()
    went = client.post(reverse("sso_begin"))
    issuer.config = {"jwks_uri": issuer.url + "/token"}
    assert come_back(client, went).status_code == 401
    assert "_auth_user_id" not in client.session


def test_an_issuer_that_is_away_is_a_sentence(settings: Any) -> None:
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    assert "cannot be reached" in words(Client().post(reverse("sso_begin")))


def test_without_an_issuer_none_of_it_is_there() -> None:
    assert Client().post(reverse("sso_begin")).status_code == 404
    assert Client().get(reverse("sso_callback")).status_code == 404
    assert "sso-form" not in words(Client().get(reverse("account_login")))


def test_who_gives_up_there_reads_so(issuer: Issuer) -> None:
    client = Client()
    state = issuers.flat(urlsplit(client.post(reverse("sso_begin"))["Location"]).query)["state"]
    answer = client.get(reverse("sso_callback"), {"error": "access_denied", "state": state}, follow=True)
    assert "You did not go on at Acme" in words(answer)


# --- Passwords off, second factor, fresh proof ---


def test_with_passwords_off_no_password_lets_in(issuer: Issuer, settings: Any) -> None:
    alice()
    settings.PASSWORD_LOGIN = False
    assert 'name="password"' not in words(Client().get(reverse("account_login")))
    assert not is_in(log_in(alice()))
    with pytest.raises(CommandError, match="comes in by Acme"):
        call_command("invite", "alice")
    client, _ = enter(issuer, groups=["support"])
    assert is_in(client)


@pytest.mark.parametrize(
    ("claims", "is_enough"),
    [
        ({"amr": ["pwd", "otp"]}, True),
        ({"acr": "mfa"}, True),
        ({"amr": ["pwd"]}, False),
        ({"amr": [{"otp": 1}, None]}, False),
        ({}, False),
    ],
)
def test_the_issuers_second_factor_counts_when_it_says_so(
    issuer: Issuer, settings: Any, claims: dict[str, Any], is_enough: bool
) -> None:
    settings.SECOND_FACTOR = "required"
    client, _ = enter(issuer, groups=["refund-approvers"], **claims)
    assert is_in(client) == is_enough
    if not is_enough:
        with time_machine.travel(NOON, tick=False) as clock:
            client, _ = enter(issuer)
            secret = set_up_app(client)
            assert is_in(client)
            clock.shift(60)
            client, answer = enter(issuer)
            assert answer["Location"] == reverse("mfa_authenticate")
            assert not is_in(client)
            assert give_code(client, code_of(secret)).status_code == 302
            assert is_in(client)


@pytest.mark.promise("I33")
def test_a_late_approval_is_proved_at_the_issuer_and_then_done_by_one_click(issuer: Issuer) -> None:
    refund = ask()
    with time_machine.travel(NOON, tick=False) as clock:
        client, _ = enter(issuer, groups=["refund-approvers"])
        clock.shift(6 * 60)
        went = client.post(step(refund, "approve"), {"seen": refund.version})
        went = client.get(went["Location"])
        assert went["Location"].startswith(reverse("sso_again"))
        went = client.get(went["Location"])
        assert "prompt=login" in went["Location"]
        assert come_back(client, went)["Location"] == reverse("sso_go_on")
        assert as_now(refund).status == "requested"
        assert "still waits" in words(client.get(reverse("sso_go_on")))
        client.post(reverse("sso_go_on"))
        assert as_now(refund).status == "approved"


@pytest.mark.promise("I33")
@pytest.mark.parametrize("claims", [{"sub": "u-2"}, {"auth_time": 1_700_000_000}, {"auth_time": None}])
def test_a_proof_by_somebody_else_or_of_yesterday_is_none(issuer: Issuer, claims: dict[str, Any]) -> None:
    refund = ask()
    with time_machine.travel(NOON, tick=False) as clock:
        enter(issuer, groups=["refund-approvers"], sub="u-2", preferred_username="otto")
        client, _ = enter(issuer, groups=["refund-approvers"], sub="u-1", preferred_username="maria")
        clock.shift(6 * 60)
        client.post(step(refund, "approve"), {"seen": refund.version})
        went = client.get(reverse("sso_again"))
        issuer.claims |= claims
        assert come_back(client, went).status_code == 403
        client.post(reverse("sso_go_on"))
        assert as_now(refund).status == "requested"


# --- Everybody at once ---


def scim(sub: str, *groups: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"internal-{sub}", "externalId": sub, "groups": [{"display": name} for name in groups], **fields}


def three(issuer: Issuer) -> dict[str, Client]:
    clients = {}
    for name in ("maria", "otto", "paula"):
        told = {"sub": f"u-{name}", "preferred_username": name}
        clients[name], _ = enter(issuer, groups=["refund-approvers", "support"], **told)
    return clients


@pytest.mark.promise("I30", "I50")
def test_sync_takes_away_what_was_taken_away_there(issuer: Issuer, capsys: Any) -> None:
    clients = three(issuer)
    issuer.people = [
        scim("u-maria", "support"),
        scim("u-otto", "refund-approvers", "support", active="False"),
        scim("u-paula", "refund-approvers", "support"),
        scim("u-nobody", "support"),
    ]
    call_command("sync_people")
    said = capsys.readouterr().out
    assert "maria is in Agents now." in said
    assert "otto is switched off: not active there." in said
    assert "2 changed." in said
    assert [name for name, client in clients.items() if is_in(client)] == ["paula"]
    assert groups_of("maria") == {"Agents"}
    assert issuer.asked.count("/scim/Users") == 2  # two pages
    call_command("sync_people")
    assert "0 changed." in capsys.readouterr().out


def test_sync_switches_off_who_is_no_longer_listed_and_leaves_our_own_people_alone(
    issuer: Issuer, tmp_path: Path, capsys: Any
) -> None:
    three(issuer)
    own = log_in(bob())
    file = tmp_path / "people.json"
    kept = scim("u-maria", "support", "refund-approvers")
    gone = scim("u-paula", "support", "refund-approvers", active=False)
    file.write_text(json.dumps({"totalResults": 2, "Resources": [kept, gone]}))
    call_command("sync_people", str(file))
    assert "otto is switched off: no longer listed there." in capsys.readouterr().out
    assert set(User.objects.filter(is_active=True).values_list("username", flat=True)) == {"maria", "bob"}
    assert is_in(own)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"totalResults": 3, "Resources": []}', "cut"),
        ('{"totalResults": 1, "Resources": [{"id": "u-maria"}]}', "names no groups"),
        ('{"totalResults": 2, "Resources": [{"id": "a", "groups": []}, {"externalId": "a"}]}', "two people a"),
        ('{"Resources": []}', "no SCIM"),
        ("[]", "no SCIM"),
        ("{", "cannot be read"),
    ],
)
def test_a_list_that_is_cut_or_is_none_changes_nothing(issuer: Issuer, tmp_path: Path, text: str, why: str) -> None:
    clients = three(issuer)
    (tmp_path / "list").write_text(text)
    with pytest.raises(CommandError, match=why):
        call_command("sync_people", str(tmp_path / "list"))
    assert all(is_in(client) for client in clients.values())


def test_sync_asks_nobody_but_the_issuer(issuer: Issuer, settings: Any) -> None:
    settings.OIDC_PEOPLE_URL = "http://127.0.0.1:9/scim"
    with pytest.raises(CommandError, match="issuer's host"):
        call_command("sync_people")


def test_the_mapping_reads_names_with_equal_signs_and_several_of_ours(settings: Any) -> None:
    settings.OIDC_GROUPS = "cn=refunds,dc=acme=Agents; support = Agents ;support=Auditors"
    assert identity.mapping() == {"cn=refunds,dc=acme": {"Agents"}, "support": {"Agents", "Auditors"}}
    assert identity.ours(["support", 7, None]) == {"Agents", "Auditors"}

"""Each person's own wishes: language, time zone, what to be told; nobody else's, and never the house's day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from refunds import services
from refunds.admin.change_forms import _midnight
from refunds.errors import OverLimit
from refunds.models import Allowance, How, Preference
from refunds.preferences import language, next_digest, reading, zone, zones
from tests.builders import alice, allow, ask, bob, carol, make_payment
from tests.people.desk import log_in, words

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PAGE = "/accounts/preferences/"


def wants(one: User, **wishes: Any) -> Preference:
    return Preference.objects.update_or_create(person=one, defaults=wishes)[0]


def typed(**fields: Any) -> dict[str, Any]:
    return {"language": "", "time_zone": "", "to_decide": "digest", "own": "each", "about": ["failed"], **fields}


# --- Times and languages ---


@time_machine.travel(NOON, tick=False)
def test_who_is_in_tokyo_reads_times_of_tokyo_and_utc_on_hover() -> None:
    refund = ask()
    wants(bob(), time_zone="Asia/Tokyo")
    page = words(log_in(bob()).get(reverse("admin:refunds_refund_change", args=(refund.pk,))))
    assert 'title="2026-11-20 12:00:00 UTC">20 Nov 2026, 21:00:00</time>' in page
    other = words(log_in(alice()).get(reverse("admin:refunds_refund_change", args=(refund.pk,))))
    assert 'title="2026-11-20 12:00:00 UTC">20 Nov 2026, 12:00:00</time>' in other


def test_a_page_leaves_nothing_of_its_reader_behind() -> None:
    wants(bob(), time_zone="Asia/Tokyo", language="pl")
    page = log_in(bob()).get(PAGE)
    assert '<html lang="pl"' in words(page)
    assert (translation.get_language(), timezone.get_current_timezone_name()) == ("en", "UTC")


def test_ones_own_language_then_the_browsers_then_the_houses(settings: Any) -> None:
    def spoken(client: Client, accept: str) -> str:
        page = words(client.get(PAGE, headers={"Accept-Language": accept}))
        return page.split('<html lang="')[1][:2]

    client = log_in(alice())
    assert spoken(client, "pl,en;q=0.5") == "pl"
    assert spoken(client, "fr,xx") == "en"
    settings.LANGUAGE_CODE = "pl"
    assert spoken(client, "fr") == "pl"
    wants(alice(), language="en")
    assert spoken(client, "pl") == "en"
    assert words(Client().get(reverse("account_login"), headers={"Accept-Language": "pl"})).count('lang="pl"') == 1


def test_a_wish_that_nobody_can_fulfil_any_more_is_the_houses() -> None:
    assert zone("Mars/Olympus") == timezone.get_default_timezone()
    assert zone("../../etc/passwd") == timezone.get_default_timezone()
    assert language("xx") == "en"
    with reading("xx", "Mars/Olympus"):
        assert (translation.get_language(), timezone.get_current_timezone_name()) == ("en", "UTC")


def test_the_zones_are_places() -> None:
    assert {"UTC", "Asia/Tokyo", "Europe/Warsaw", "America/Sao_Paulo"} <= {*zones()}
    assert not [name for name in zones() if name.startswith(("Etc/", "posix/", "right/", "US/"))]


def test_it_costs_one_query_for_who_is_logged_in_and_none_for_others(client: Client) -> None:
    def asked_of(one: Client, path: str, method: str = "get") -> int:
        with CaptureQueriesContext(connection) as asked:
            getattr(one, method)(path)
        return len([query for query in asked if "refunds_preference" in query["sql"]])

    assert asked_of(log_in(alice()), reverse("mfa_index")) == 1
    assert asked_of(client, "/accounts/login/") == 0
    assert asked_of(client, "/static/refunds/desk.css") == 0
    assert asked_of(client, "/webhooks/payerly-eu/", "post") == 0


# --- What must not follow the reader ---


def test_another_time_zone_begins_no_new_day_for_an_allowance() -> None:
    allow(alice(), "request", largest=1000, per_day=1000)
    payment = make_payment()
    with time_machine.travel(NOON, tick=False):
        with reading("", "Pacific/Kiritimati"):  # tomorrow there
            ask(payment)
            assert services.left_today(alice(), Allowance.Act.REQUEST)[0].today.minor == 0
        for name in ("Pacific/Pago_Pago", "UTC", "Pacific/Kiritimati"):
            with reading("", name), pytest.raises(OverLimit):
                ask(payment)


def test_a_deputys_days_are_the_houses() -> None:
    with reading("", "Asia/Tokyo"):
        assert _midnight(NOON.date()) == datetime(2026, 11, 20, tzinfo=UTC)


def test_the_journal_stays_in_english() -> None:
    wants(alice(), language="pl")
    with reading("pl", "Asia/Tokyo"):
        refund = ask()
    assert refund.events.get().text == "10.00 EUR: Goods returned. "


# --- The page ---


def test_a_person_chooses_and_finds_the_choice_again() -> None:
    client = log_in(alice())
    answer = client.post(PAGE, typed(language="pl", time_zone="Europe/Warsaw", own="digest"), follow=True)
    row = Preference.objects.get(person=alice())
    assert (row.language, row.time_zone, row.own, row.to_decide) == ("pl", "Europe/Warsaw", "digest", "digest")
    assert set(row.not_about) == {"returned", "rejected", "succeeded", "reversed", "attention"}
    page = words(answer)
    for chosen in ('value="pl" selected', 'value="Europe/Warsaw" selected', 'value="digest" selected'):
        assert chosen in page
    assert re.findall(r'value="(\w+)"[^>]*\schecked[\s>]', page) == ["failed"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"language": "xx"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
        {"own": "twice"},
        {"about": ["to_decide"]},
        {"about": ["key"]},
    ],
)
def test_what_is_not_offered_is_refused(wrong: dict[str, Any]) -> None:
    answer = log_in(alice()).post(PAGE, typed(**wrong))
    assert answer.status_code == 400
    assert "Nothing was saved" in words(answer)
    assert not Preference.objects.exists()


def test_only_ones_own_row_is_ever_written() -> None:
    wants(bob(), own="off")
    sneaky = typed(person=bob().pk, user=bob().pk, id=Preference.objects.get().pk, language="pl")
    log_in(alice()).post(PAGE, sneaky)
    assert Preference.objects.get(person=bob()).language == ""
    assert Preference.objects.get(person=alice()).language == "pl"
    log_in(alice()).post(PAGE + f"?person={bob().pk}", sneaky)
    assert Preference.objects.count() == 2


def test_nobody_is_asked_about_mails_that_they_never_get() -> None:
    asked = {
        alice(): {"own": True, "to_decide": False},
        bob(): {"own": False, "to_decide": True},
        carol(): {"own": False, "to_decide": False},
    }
    for one, fields in asked.items():
        page = words(log_in(one).get(PAGE))
        assert {name: f'name="{name}"' in page for name in fields} == fields
    log_in(bob()).post(PAGE, typed(own="off", about=[], to_decide="each"))
    row = Preference.objects.get(person=bob())
    assert (row.own, row.not_about, row.to_decide) == (How.EACH, [], How.EACH)


def test_the_page_says_where_mails_go_and_why_none_do(settings: Any) -> None:
    client = log_in(alice())
    assert "This house sends no e-mail yet" in words(client.get(PAGE))
    settings.SENDS_MAIL = True
    assert "a user admin has to fill in your e-mail address" in words(client.get(PAGE))
    User.objects.filter(username="alice").update(email="alice@example.com")
    assert "<b>alice@example.com</b>" in words(client.get(PAGE))


def test_looking_writes_nothing_and_strangers_are_led_to_the_login() -> None:
    log_in(alice()).get(PAGE)
    assert not Preference.objects.exists()
    assert reverse("account_login") in Client().get(PAGE)["Location"] or "/login/" in Client().get(PAGE)["Location"]
    assert Client().post(PAGE, typed()).status_code == 302
    assert not Preference.objects.exists()


def test_the_page_is_one_click_away_from_every_page() -> None:
    assert f'href="{PAGE}"' in words(log_in(alice()).get(reverse("admin:index")))


def test_digests_go_out_at_the_same_moments_for_everybody(settings: Any) -> None:
    assert next_digest(NOON) == NOON + timedelta(hours=1)
    assert next_digest(NOON + timedelta(minutes=59, seconds=59)) == NOON + timedelta(hours=1)
    settings.NOTICE_DIGEST_MINUTES = 15
    assert next_digest(NOON + timedelta(minutes=1)) == NOON + timedelta(minutes=15)

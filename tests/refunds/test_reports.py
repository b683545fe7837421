"""The reports: figures counted by hand, days as the reader's zone has them, and nothing of accounts of others."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from gateways.contract import Outcome
from gateways.money import Money
from refunds import services
from refunds.admin import report_shares, report_tables, report_times
from refunds.admin.report_tables import Report
from refunds.models import Refund, Status
from refunds.reports import figures
from refunds.reports.figures import Ends, Failure
from refunds.reports.lengths import Length
from refunds.reports.selection import Selection
from refunds.services.actor import Mouth
from tests.builders import again, bob, carol, dora, erik, gina, limit_to, make_account, make_payment, make_rule, person
from tests.people.rooms import as_role
from tests.refunds.past import past
from tests.refunds.test_record import hear, standing_in
from tests.refunds.test_refund_screens import at_the_desk

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:refunds_refund_reports")
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
TENTH, ELEVENTH = date(2026, 11, 10), date(2026, 11, 11)
NOVEMBER = Selection(date(2026, 11, 1), date(2026, 11, 30), ZoneInfo("UTC"))
DAYS = {"from": "2026-11-01", "to": "2026-11-30"}
REFUNDS = Refund.objects.all()
MINUTE = timedelta(minutes=1)


def shown(client: Client, **asked: str) -> dict[str, Report]:
    """The reports of November, or of what is asked for, by name."""
    return {report.name: report for report in client.get(PAGE, {**DAYS, **asked}).context["reports"]}


def texts(report: Report) -> list[list[str]]:
    return [[row.label, *(cell.text for cell in row.cells)] for row in report.rows]


# --- how long ---


def approved_after(*minutes: int, **fields: Any) -> None:
    for took in minutes:
        past("approved", NOON, approved_at=NOON + took * MINUTE, **fields)


@pytest.mark.parametrize(
    ("minutes", "median", "p95"),
    [
        ([7], 7, 7),
        ([1, 2], 1.5, 2),
        ([10, 1, 2], 2, 10),
        ([10, 1, 3, 2], 2.5, 10),
        ([5, 5, 9, 5], 5, 9),
        (list(range(1, 20)), 10, 19),
        (list(range(1, 21)), 10.5, 19),
        (list(range(1, 22)), 11, 20),
        (list(range(100, 0, -1)), 50.5, 95),
    ],
)
def test_the_median_and_the_95th_percentile_are_exact(minutes: list[int], median: float, p95: int) -> None:
    approved_after(*minutes)
    found = figures.time_to_approve(REFUNDS, NOVEMBER)
    expected = Length(len(minutes), timedelta(minutes=median), p95 * MINUTE)
    assert (found.together, found.by_gateway) == (expected, {"payerly": expected})


def test_each_gateway_has_lengths_of_its_own_and_all_together_have_theirs() -> None:
    approved_after(1, 2, 3)
    approved_after(60, 120, account=make_account("paynow-pl"))
    found = figures.time_to_approve(REFUNDS, NOVEMBER)
    assert found.by_gateway == {
        "payerly": Length(3, 2 * MINUTE, 3 * MINUTE),
        "paynow": Length(2, 90 * MINUTE, 120 * MINUTE),
    }
    assert found.together == Length(5, 3 * MINUTE, 120 * MINUTE)


def test_only_what_people_approved_and_what_we_sent_has_a_length() -> None:
    approved_after(5, approvals_needed=0, rule=make_rule("0"))
    past("succeeded", NOON, sent_at=NOON, final_at=NOON, source="gateway")
    past("failed", NOON, approved_at=None, sent_at=NOON, final_at=NOON + MINUTE)
    past("succeeded", NOON, sent_at=NOON + MINUTE, final_at=NOON + 3 * MINUTE)
    assert figures.time_to_approve(REFUNDS, NOVEMBER).together is None
    assert figures.time_to_settle(REFUNDS, NOVEMBER).together == Length(1, 2 * MINUTE, 2 * MINUTE)


def test_a_length_is_counted_by_the_moment_that_its_report_names() -> None:
    """Requested in October, approved in November, at its end in December."""
    october, december = NOON - timedelta(days=20), NOON + timedelta(days=30)
    past("succeeded", october, approved_at=NOON, sent_at=NOON, final_at=december)
    assert figures.time_to_approve(REFUNDS, NOVEMBER).together is not None
    assert figures.time_to_settle(REFUNDS, NOVEMBER).together is None


@pytest.mark.once
@pytest.mark.parametrize(
    ("took", "words"),
    [
        (timedelta(microseconds=1), "0.01 s"),
        (timedelta(milliseconds=856), "0.86 s"),
        (timedelta(seconds=12.34), "12.3 s"),
        (timedelta(seconds=200.6), "3 min 21 s"),
        (timedelta(hours=5, minutes=2, seconds=1), "5 h 2 min"),
        (timedelta(days=2, hours=3), "2 days 3 h"),
        (-MINUTE, "0.01 s"),
    ],
)
def test_a_length_is_told_as_exactly_as_people_want_it(took: timedelta, words: str) -> None:
    assert report_times.told(took).replace("\N{NO-BREAK SPACE}", " ") == words


@pytest.mark.once
def test_a_chart_of_lengths_is_drawn_in_the_unit_that_fits_the_longest() -> None:
    lengths = figures.Lengths({"payerly": Length(2, 30 * MINUTE, 150 * MINUTE)}, Length(2, 30 * MINUTE, 150 * MINUTE))
    report = report_times.time_to_settle(lengths)
    assert (report.unit, [cell.value for cell in report.rows[0].cells]) == ("h", ["0.50", "2.50", ""])
    assert report.answer.replace("\N{NO-BREAK SPACE}", " ") == (
        "Half of 2 took at most 30 min, and 95 of 100 at most 2 h 30 min."
    )


# --- per day ---


def test_a_day_is_one_of_the_readers_zone() -> None:
    """Half past eleven at night in UTC is tomorrow in Warsaw."""
    past("requested", datetime(2026, 11, 10, 23, 30, tzinfo=UTC))
    for zone, day in (("UTC", TENTH), ("Europe/Warsaw", ELEVENTH), ("America/Sao_Paulo", TENTH)):
        for asked, number in ((TENTH, int(day == TENTH)), (ELEVENTH, int(day == ELEVENTH))):
            found = figures.per_day(REFUNDS, Selection(asked, asked, ZoneInfo(zone)), "requested")
            assert [(one.day, one.number) for one in found] == [(day, 1)] * number, (zone, asked)


def test_a_day_of_twenty_five_hours_is_one_day() -> None:
    """In Warsaw summer time ends on 25 October: the day lasts from 22:00 UTC to 23:00 UTC of the next one."""
    day = date(2026, 10, 25)
    for hour, minute, of in ((21, 59, 24), (22, 0, 24), (22, 59, 25), (23, 0, 25)):
        past("requested", datetime(2026, 10, of, hour, minute, tzinfo=UTC))
    found = figures.per_day(REFUNDS, Selection(day, day, ZoneInfo("Europe/Warsaw")), "requested")
    assert [(one.day, one.number) for one in found] == [(day, 2)]


def test_the_page_names_the_zone_and_puts_the_refund_into_its_day(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Warsaw"
    past("requested", datetime(2026, 11, 10, 23, 30, tzinfo=UTC))
    answer = at_the_desk(bob()).get(PAGE, {"from": "2026-11-10", "to": "2026-11-11"})
    count = next(report for report in answer.context["reports"] if report.name == "count")
    assert texts(count) == [["10 Nov 2026", "0"], ["11 Nov 2026", "1"]]
    assert "days in the time zone Europe/Warsaw" in answer.content.decode()


def test_amounts_keep_to_their_currency_and_its_decimals() -> None:
    past("requested", NOON, amount=18600, currency="JPY")
    past("requested", NOON, amount=2500, currency="KWD")
    past("requested", NOON, amount=1005)
    past("requested", NOON, amount=95)
    client = at_the_desk(bob())
    reports = shown(client, **{"from": "2026-11-10", "to": "2026-11-10"})
    assert texts(reports["count"]) == [["10 Nov 2026", "4"]]
    volume = reports["volume"]
    assert (volume.unit, volume.rows[0].cells[0].value) == ("EUR", "11.00")
    assert volume.links == [("18,600\N{NO-BREAK SPACE}JPY", "JPY"), ("2.500\N{NO-BREAK SPACE}KWD", "KWD")]
    for currency, value in (("JPY", "18600"), ("KWD", "2.500")):
        chosen = shown(client, currency=currency)
        assert sum(int(row.cells[0].value) for row in chosen["count"].rows) == 1
        values = {row.cells[0].value for row in chosen["volume"].rows}
        assert (chosen["volume"].unit, values, chosen["volume"].links) == (currency, {"0", value}, [])


@pytest.mark.once
def test_no_two_currencies_are_ever_added_up() -> None:
    rows = [figures.OfADay(TENTH, "payerly", name, 1, 1000) for name in ("EUR", "JPY", "JPY")]
    assert report_tables.totals_of(rows) == {"JPY": Money(2000, "JPY"), "EUR": Money(1000, "EUR")}


def test_days_can_be_counted_by_each_of_the_four_moments() -> None:
    """Requested on the 1st, approved on the 2nd, sent on the 3rd, succeeded on the 4th; others come less far."""
    first, day = datetime(2026, 11, 1, 9, tzinfo=UTC), timedelta(days=1)
    moments = {"approved_at": first + day, "sent_at": first + 2 * day, "final_at": first + 3 * day}
    past("succeeded", first, **moments)
    past("failed", first, **moments)
    past("requested", first)
    past("succeeded", first, source="gateway", sent_at=first + 2 * day, final_at=first + 3 * day)
    expected = {"requested": (1, 3), "approved": (2, 2), "sent": (3, 3), "final": (4, 2)}
    for by, (of_month, number) in expected.items():
        found = figures.per_day(REFUNDS, NOVEMBER, by)
        assert [(one.day.day, one.number, one.minor) for one in found] == [(of_month, number, 1000 * number)], by


def test_each_day_has_a_row_and_each_gateway_a_column() -> None:
    past("requested", NOON)
    past("requested", NOON, make_account("paynow-pl"), currency="PLN")
    report = shown(at_the_desk(bob()))["count"]
    assert report.head == ["Day", "Payerly", "Paynow"]
    assert len(report.rows) == 30
    assert texts(report)[8:11] == [["9 Nov 2026", "0", "0"], ["10 Nov 2026", "1", "1"], ["11 Nov 2026", "0", "0"]]
    assert report.answer == "2 refunds; the most on one day were 2, on 10 Nov 2026."


# --- how it ended, and why ---


def test_the_success_rate_is_of_what_came_to_its_end_by_a_gateway() -> None:
    """Seven succeeded, one failed, one came back: seven of nine. What was never sent does not count."""
    for status, number in {"succeeded": 7, "failed": 1, "reversed": 1, "rejected": 4, "withdrawn": 2}.items():
        for _ in range(number):
            past(status, NOON, final_at=NOON)
    past("succeeded", NOON, final_at=NOON - timedelta(days=30))
    past("succeeded", NOON, make_account("paynow-pl"), final_at=NOON)
    assert figures.ends(REFUNDS, NOVEMBER) == {"payerly": Ends(7, 1, 1), "paynow": Ends(1, 0, 0)}
    report = shown(at_the_desk(bob()))["success"]
    assert [row.cells[0].value for row in report.rows] == ["77.7", "100.0"]
    assert report.answer.replace("\N{NO-BREAK SPACE}", " ") == "80.0 %: 8 of 10 succeeded."


@pytest.mark.once
def test_one_failure_of_many_is_not_rounded_away() -> None:
    assert [Ends(1999, 1, 0).per_mille, Ends(5, 0, 0).per_mille, Ends(0, 0, 3).per_mille] == [999, 1000, 0]


def test_reasons_are_counted_by_the_request_and_have_their_share() -> None:
    for reason, number in {"Goodwill": 2, "Not delivered": 5, "Charged twice": 2}.items():
        for _ in range(number):
            past("rejected", NOON, reason=reason)
    past("requested", NOON - timedelta(days=30))
    report = shown(at_the_desk(bob()))["reasons"]
    rows = [[text.replace("\N{NO-BREAK SPACE}", " ") for text in row] for row in texts(report)]
    assert rows == [["Not delivered", "5", "55.6 %"], ["Charged twice", "2", "22.2 %"], ["Goodwill", "2", "22.2 %"]]


def test_a_failure_has_the_code_that_the_gateway_gave() -> None:
    for number, code in enumerate(("RC51", "RC14", "RC51", "")):
        refund = standing_in(Status.PROCESSING, make_payment(reference=f"pay-{number}"))
        hear(refund, Outcome.FAILED, Mouth.LOOK_UP, code=code, reference=f"txn-{number}")
    selection = Selection(date(2000, 1, 1), date(2100, 1, 1), ZoneInfo("UTC"))
    found = figures.failures(REFUNDS, selection)
    assert found == [
        Failure("payerly", "RC51", False, 2),
        Failure("payerly", "", False, 1),
        Failure("payerly", "RC14", False, 1),
    ]
    report = report_shares.failures(found)
    assert [row.label for row in report.rows] == ["Payerly: RC51", "Payerly: no code was kept", "Payerly: RC14"]
    assert report.answer == "4 refunds failed; the most frequent code: RC51 (2)."


def test_a_failure_that_people_declared_is_called_so() -> None:
    refund = standing_in(Status.PROCESSING, sent_at=NOON)
    services.propose_outcome(refund.pk, dora(), "failed", "Not there.", seen=refund.version, ticket="T-1")
    services.confirm_outcome(refund.pk, erik(), seen=again(refund).version)
    found = figures.failures(REFUNDS, Selection(date(2000, 1, 1), date(2100, 1, 1), ZoneInfo("UTC")))
    assert found == [Failure("payerly", "", True, 1)]
    assert report_shares.failures(found).rows[0].label == "Payerly: declared by two people"


def test_of_two_failures_of_one_refund_the_last_one_counts() -> None:
    """It failed, they said that it was paid after all, and then it failed again with another code."""
    refund = hear(standing_in(Status.PROCESSING), Outcome.FAILED, Mouth.LOOK_UP, code="FIRST")
    refund = hear(refund, Outcome.SUCCEEDED, Mouth.LOOK_UP)
    assert refund.status == Status.UNKNOWN
    hear(refund, Outcome.FAILED, Mouth.LOOK_UP, code="SECOND")
    found = figures.failures(REFUNDS, Selection(date(2000, 1, 1), date(2100, 1, 1), ZoneInfo("UTC")))
    assert found == [Failure("payerly", "SECOND", False, 1)]


# --- who sees what ---


def one_of_everything(account: str, currency: str, reason: str) -> None:
    own = make_account(account)
    for status in ("succeeded", "failed", "reversed"):
        moments = dict.fromkeys(("approved_at", "sent_at", "final_at"), NOON)
        past(status, NOON, own, currency=currency, reason=reason, amount=777, **moments)


def test_who_is_limited_to_accounts_sees_nothing_of_the_others() -> None:
    one_of_everything("payerly-eu", "EUR", "Goodwill")
    one_of_everything("paynow-pl", "PLN", "Not delivered")
    limit_to(bob(), make_account())
    client = at_the_desk(bob())
    text = client.get(PAGE, DAYS).content.decode()
    for hidden in ("Paynow", "paynow", "PLN", "Not delivered"):
        assert hidden not in text, hidden
    reports, column = shown(client), {"count": 0, "approve": 2, "reasons": 0, "failures": 0}
    numbers = {name: sum(int(row.cells[place].text) for row in reports[name].rows) for name, place in column.items()}
    assert numbers == {"count": 3, "approve": 3, "reasons": 3, "failures": 1}
    assert "Paynow" in at_the_desk(person("bert", "Approvers")).get(PAGE, DAYS).content.decode()


def test_an_account_of_others_is_no_account() -> None:
    make_account("paynow-pl")
    limit_to(bob(), make_account())
    client = at_the_desk(bob())
    for name in ("paynow-pl", "no-such-account"):
        answer = client.get(PAGE, {**DAYS, "account": name})
        assert answer.context["form"].errors == {"account": ["There is no such account."]}
        assert answer.context["reports"] == []


def test_an_account_can_be_chosen() -> None:
    one_of_everything("payerly-eu", "EUR", "Goodwill")
    one_of_everything("paynow-pl", "PLN", "Not delivered")
    text = at_the_desk(carol()).get(PAGE, {**DAYS, "account": "paynow-pl"}).content.decode()
    assert "Not delivered" in text
    assert "Goodwill" not in text


def test_sandbox_money_is_never_added_to_live_money() -> None:
    """Live is what counts where nothing is chosen; an account has its own mode."""
    past("requested", NOON, make_account("live-eu", mode="live"), amount=100)
    past("requested", NOON, make_account(), amount=4000)
    client = at_the_desk(bob())
    for asked, minor in (
        ({}, "1.00"),
        ({"mode": "live"}, "1.00"),
        ({"mode": "sandbox"}, "40.00"),
        ({"account": "payerly-eu"}, "40.00"),
        ({"account": "payerly-eu", "mode": "live"}, "40.00"),
    ):
        assert shown(client, **asked)["volume"].answer.startswith(f"{minor}\xa0EUR in all."), asked
        assert sum(int(row.cells[0].text) for row in shown(client, **asked)["count"].rows) == 1, asked
    answer = client.get(PAGE, {**DAYS, "mode": "sandbox"})
    assert '<option value="sandbox" selected>' in answer.content.decode()
    assert all("mode=sandbox" in query for _, query in answer.context["spans"])
    assert client.get(PAGE, {**DAYS, "mode": "play"}).context["reports"] == []


def test_a_mode_is_offered_only_where_there_are_two() -> None:
    past("requested", NOON, make_account("live-eu", mode="live"), amount=100)
    past("requested", NOON, make_account(), amount=4000)
    limit_to(bob(), make_account())
    client = at_the_desk(bob())
    assert "mode" not in client.get(PAGE, DAYS).context["form"].fields
    assert shown(client)["volume"].answer.startswith("40.00\xa0EUR in all.")
    answer = client.get(PAGE, {**DAYS, "mode": "live"})
    assert answer.context["form"].errors == {"mode": ["None of your accounts is of this mode."]}


@pytest.mark.once
def test_whoever_may_see_refunds_finds_the_reports_in_the_navigation() -> None:
    root = person("root", is_superuser=True)
    for user, finds in ((bob(), True), (carol(), True), (root, True), (gina(), False)):
        client = at_the_desk(user)
        assert (f'href="{PAGE}"' in client.get("/admin/").content.decode()) == finds, user
        assert client.get(PAGE).status_code == (200 if finds else 403)
    assert at_the_desk(bob()).post(PAGE).status_code == 405


# --- the page ---


@pytest.mark.once
@pytest.mark.parametrize(
    ("asked", "field", "says"),
    [
        ({"from": "yesterday"}, "from", "Write the day as year-month-day, such as 2026-11-21."),
        ({"to": "2026-02-30"}, "to", "Write the day as year-month-day, such as 2026-11-21."),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "to", "The last day lies before the first one."),
        ({"from": "2025-01-01", "to": "2026-01-02"}, "to", "At most 366 days at a time."),
        ({"from": "0001-01-01"}, "from", "There are no refunds of that year."),
        ({"to": "9999-12-31"}, "to", "There are no refunds of that year."),
        ({"currency": "eur"}, "currency", "A currency is three capital letters, such as EUR."),
        ({"by": "created"}, "by", "Choose requested, approved, sent or final."),
        ({"account": "x' OR 1=1"}, "account", "There is no such account."),
    ],
)
def test_a_choice_that_makes_no_sense_is_named_and_shows_no_figures(
    asked: dict[str, str], field: str, says: str
) -> None:
    past("requested", NOON)
    answer = at_the_desk(bob()).get(PAGE, {**DAYS, **asked})
    assert answer.context["form"].errors[field] == [says]
    assert answer.context["reports"] == []
    text = answer.content.decode()
    assert says in text
    assert "Nothing is wrong with the refunds." in text


@pytest.mark.once
def test_a_year_with_a_leap_day_can_be_looked_at() -> None:
    assert len(shown(at_the_desk(bob()), **{"from": "2024-01-01", "to": "2024-12-31"})) == 7


@pytest.mark.once
def test_without_a_choice_it_is_the_last_thirty_days() -> None:
    form = at_the_desk(bob()).get(PAGE).context["form"]
    first, last = form.cleaned_data["from"], form.cleaned_data["to"]
    assert (last - first).days == 29
    assert form.cleaned_data["by"] == "requested"


@pytest.mark.once
def test_the_address_keeps_every_choice() -> None:
    past("requested", NOON)
    past("requested", NOON, currency="JPY")
    asked = {**DAYS, "account": "payerly-eu", "by": "requested"}
    answer = at_the_desk(bob()).get(PAGE, asked)
    text = answer.content.decode()
    assert all("account=payerly-eu&by=requested" in query for _, query in answer.context["spans"])
    other = "JPY" if next(one for one in answer.context["reports"] if one.name == "volume").unit == "EUR" else "EUR"
    assert f"?from=2026-11-01&amp;to=2026-11-30&amp;account=payerly-eu&amp;by=requested&amp;currency={other}" in text
    assert '<option value="payerly-eu" selected>' in text


@pytest.mark.once
def test_days_without_anything_say_what_to_do() -> None:
    text = at_the_desk(bob()).get(PAGE, DAYS).content.decode()
    assert "Nothing happened in these days" in text
    assert "Show the last 365 days" in text
    assert "<canvas" not in text


@pytest.mark.once
def test_each_chart_is_said_in_words_and_stands_as_a_table_on_the_same_page() -> None:
    one_of_everything("payerly-eu", "EUR", "Goodwill")
    text = at_the_desk(bob()).get(PAGE, DAYS).content.decode()
    canvases = re.findall(r"<canvas[^>]*>", text)
    assert len(canvases) == 7
    for canvas in canvases:
        assert re.search(r'aria-label="[^"]{30,}"', canvas), canvas
        assert f'id="{re.search(r"data-table=.([a-z-]+)", canvas)[1]}"' in text
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert text.count("By the ") + text.count("From ") >= 7  # the moment that each counts by


def test_a_long_span_with_many_rows_asks_a_fixed_number_of_queries_and_stays_small(
    django_assert_max_num_queries: Any,
) -> None:
    slugs = ("payerly-eu", "paynow-pl", "airpay-in", "pay3-br", "examplepay-br")
    for place, slug in enumerate(slugs):
        for number in range(40):
            at = NOON - timedelta(days=9 * number + place, minutes=number)
            moments = {"approved_at": at + MINUTE, "sent_at": at + 2 * MINUTE, "final_at": at + 9 * MINUTE}
            past("failed" if number % 9 == 0 else "succeeded", at, make_account(slug), amount=number + 1, **moments)
    client = at_the_desk(bob())
    client.get(PAGE)
    with django_assert_max_num_queries(26):
        answer = client.get(PAGE, {"from": "2025-11-11", "to": "2026-11-11"})
    reports = {report.name: report for report in answer.context["reports"]}
    assert (len(reports["count"].rows), len(reports["count"].head)) == (366, 6)
    assert len(gzip.compress(answer.content)) < 100_000


@pytest.mark.once
def test_a_gateway_that_has_left_the_program_keeps_its_bare_name() -> None:
    past("requested", NOON, make_account("old", gateway="oldpay"))
    assert shown(at_the_desk(bob()))["count"].head == ["Day", "oldpay"]


@pytest.mark.once
def test_a_person_who_loses_the_right_loses_the_reports() -> None:
    client = at_the_desk(bob())
    assert client.get(PAGE).status_code == 200
    as_role(bob(), "User admins")
    assert client.get(PAGE).status_code == 403

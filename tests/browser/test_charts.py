"""The charts of the reports page: drawn from the tables, in both themes, and not needed to know a number."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.browser.chrome import PHONE, Visitor
from tests.builders import carol, make_account
from tests.refunds.past import past

pytestmark = [pytest.mark.browser, pytest.mark.once, pytest.mark.django_db(transaction=True)]

# What each chart draws, beside what the cells of its table say.
DRAWN = """[...document.querySelectorAll('canvas[data-chart]')].map(canvas => {
    const chart = Chart.getChart(canvas);
    const rows = [...document.getElementById(canvas.dataset.table).tBodies[0].rows];
    return {
        name: canvas.dataset.table,
        drawn: chart.data.datasets.map(one => one.data),
        said: rows.map(row => [...row.cells].map(cell => cell.dataset.value).filter(Boolean).map(Number)),
        ink: chart.options.scales.x.ticks.color,
        height: canvas.parentElement.offsetHeight,
    };
})"""
HEIGHTS = "[...document.querySelectorAll('.desk-chart')].map(it => it.offsetHeight)"

DRAWN_AT_ALL = "[...document.querySelectorAll('canvas[data-chart]')].filter(it => Chart.getChart(it)).length"


@pytest.fixture
def refunds() -> None:
    carol()
    at = timezone.now() - timedelta(days=2)
    for place, slug in enumerate(("payerly-eu", "paynow-pl")):
        for status in ("succeeded", "failed", "reversed"):
            sent = at + timedelta(minutes=7 + place)
            moments = {"approved_at": sent, "sent_at": sent, "final_at": sent + timedelta(hours=1 + place)}
            past(status, at, make_account(slug), amount=1234 + place, **moments)


def opened(visitor: Visitor) -> Any:
    visitor.log_in("carol")
    visitor.go(reverse("admin:refunds_refund_reports"))
    return visitor.page


def test_each_chart_draws_exactly_what_its_table_says(refunds: None, visit: Callable[..., Visitor]) -> None:
    charts = opened(visit()).evaluate(DRAWN)
    assert [chart["name"] for chart in charts] == [
        f"{name}-table" for name in ("count", "volume", "success", "approve", "settle", "reasons", "failures")
    ]
    for chart in charts:
        columns = [list(column) for column in zip(*chart["said"], strict=True)]
        assert chart["drawn"] == columns, chart["name"]
        assert any(number for column in columns for number in column), chart["name"]


def test_a_chart_changes_its_ink_with_the_theme(refunds: None, visit: Callable[..., Visitor]) -> None:
    page = opened(visit())
    light = {chart["ink"] for chart in page.evaluate(DRAWN)}
    page.evaluate("document.documentElement.classList.add('dark')")
    page.wait_for_timeout(200)
    assert {chart["ink"] for chart in page.evaluate(DRAWN)}.isdisjoint(light)


def test_without_the_charts_nothing_moves_and_nothing_is_missing(refunds: None, visit: Callable[..., Visitor]) -> None:
    page = opened(visit(viewport=PHONE))
    drawn = page.evaluate(HEIGHTS)
    page.route("**/charts.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.reload()
    assert page.evaluate(DRAWN_AT_ALL) == 0
    assert page.evaluate(HEIGHTS) == drawn
    assert page.get_by_text("33.3\N{NO-BREAK SPACE}%: 2 of 6 succeeded.").is_visible()
    page.locator("#success summary").click()
    assert page.locator("#success-table").is_visible()

"""No page asks the database more than forty questions, however many rows there are and whoever looks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateways.sandbox import Sandbox
from refunds.models import Payment, Refund, Status
from tests.builders import make_delivery, make_payment, person
from tests.house import point_at
from tests.people.matrix import ROLES, SCREENS
from tests.people.rooms import asked_by, browser_of, one_of, propose, standing, taken_back
from tests.people.test_matrix import OF_A_ROW, address_of, sign_of
from tests.refunds.test_unmatched import seen

pytestmark = [pytest.mark.django_db, pytest.mark.once]
MOST = 40  # questions a page
MANY = 4  # of everything in every status
STAFF = ROLES[:6]


@pytest.fixture(autouse=True)
def _ground(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.MEDIA_ROOT = str(tmp_path)
    point_at(Sandbox(pace=1000), monkeypatch)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def crowded() -> Payment:
    """Refunds in every status, of people who are looked up one by one where nobody has thought of it."""
    payment = make_payment(500000, reference="pay-much", order="MUCH")
    for n in range(MANY):
        for status in Status:
            standing(status, person(f"agent-{n}", "Agents"))
        propose(standing(Status.UNKNOWN, person(f"agent-{n}", "Agents")))
        asked_by(person(f"agent-{n}", "Agents"), payment, 100 + n)
        delivery = make_delivery(payment.account, f'{{"n": {n}}}')
        delivery.result = ("unreadable", "applied")[n % 2]
        delivery.save(update_fields=["result"])
        seen(payment.account, reference=f"theirs-{n}")
    return payment


def test_no_page_asks_more_than_that(crowded: Payment, trials: Any) -> None:
    asked = {}
    rows = {"refund": Refund.objects.filter(payment=crowded).first(), "payment": crowded}
    for role in STAFF:
        browser = browser_of(one_of(role))
        for screen in SCREENS:
            with taken_back():
                row = OF_A_ROW.fullmatch(screen.url)
                many = rows.get(row[1]) if row else None
                url = reverse(screen.url, args=(many.pk,)) if many else address_of(screen.url)
                browser.get(url)  # what is kept for later looks is asked once
                with CaptureQueriesContext(connection) as questions:
                    answer = browser.get(url)
            if sign_of(answer) == "+":
                asked[f"{role} {screen.url}"] = len(questions)
    assert {page: n for page, n in asked.items() if n > MOST} == {}
    assert len(asked) > 100
    trials(len(asked))

"""Lists stay quick however long their table is: counted within bounds, searched and sorted by indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from refunds import trigrams
from refunds.admin import bounded
from refunds.admin.filters import currencies
from refunds.models import Refund
from tests.builders import alice, ask, carol, dora, make_delivery, make_payment

pytestmark = pytest.mark.django_db
LISTS = {"refund": "-requested_at", "payment": "-captured_at", "delivery": "-pk"}


def listed(user: User, model: str, **asked: str) -> Any:
    client = Client()
    client.force_login(user)
    return client.get(reverse(f"admin:refunds_{model}_changelist"), asked)


def rows(user: User, model: str, **asked: str) -> list[Any]:
    return list(listed(user, model, **asked).context["cl"].result_list)


@contextmanager
def no_shortcuts() -> Iterator[None]:
    """PostgreSQL plans as for a large table, where it would rather read a small one whole."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
        yield


@pytest.fixture
def asked() -> Refund:
    """One refund among others, with all that it can be found by."""
    for n in range(3):
        make_payment(7000 + n, reference=f"other-{n}", order=f"B{n}", customer_email=f"eve{n}@x.org")
    payment = make_payment(
        124999,
        reference="9f4c-PAY-77",
        order="SO-48213",
        customer_email="Anna@Example.com",
        customer_name="Anna Sobieska",
    )
    refund = ask(payment, 5050, ticket="ZD-10442")
    Refund.objects.filter(pk=refund.pk).update(reference="rf_0815", identifiers="rf_0815 628514027321")
    return refund


SAID = ["SO-48213", "so-48213", "9f4c-PAY-77", "anna@example.com", "sobies", "PAY-77", "rf_0815", "628514027321",
        "14027", "zd-10442", "10442", "{number}", "{key}", "  SO-48213 "]  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_a_refund_and_its_payment_are_found_by_what_either_is_called(asked: Refund, said: str) -> None:
    text = said.format(number=asked.number, key=asked.key)
    assert rows(alice(), "refund", q=text) == [asked]
    assert rows(alice(), "payment", q=text) == [asked.payment]


@pytest.mark.parametrize("said", ["SO-4821X", "x", "%", "_", "'"])
def test_what_nothing_is_called_finds_nothing(asked: Refund, said: str) -> None:
    for model in ("refund", "payment", "delivery"):
        assert rows(dora(), model, q=said) == []


def test_what_is_named_comes_without_what_merely_holds_it(asked: Refund) -> None:
    make_payment(1000, reference="pay-x", order="SO-48213-B")
    assert rows(alice(), "payment", q="SO-48213") == [asked.payment]


def test_a_search_keeps_to_the_filters(asked: Refund) -> None:
    assert rows(alice(), "refund", q="SO-48213", status__exact="succeeded") == []
    assert rows(alice(), "refund", q="SO-48213", status__exact="requested") == [asked]


def test_a_delivery_is_found_by_its_refund(asked: Refund) -> None:
    delivery = make_delivery(asked.account, '{"n": 1}')
    make_delivery(asked.account, '{"n": 2}')
    type(delivery).objects.filter(pk=delivery.pk).update(refund=asked)
    for said in (asked.number, "rf_0815", "RF_0815"):
        assert rows(dora(), "delivery", q=said) == [delivery]


@pytest.mark.once
def test_only_the_latest_bodies_are_looked_through(asked: Refund, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (make_delivery(asked.account, f'{{"word": "needle", "n": {n}}}') for n in range(2))
    assert rows(dora(), "delivery", q="needle") == [new, old]
    monkeypatch.setattr("refunds.admin.deliveries.MOST_ROWS", 1)
    assert rows(dora(), "delivery", q="needle") == [new]


@pytest.mark.once
def test_a_list_counts_no_further_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(8):
        make_payment(1000, reference=f"p-{n}")
    whole = listed(alice(), "payment")
    assert (whole.context["cl"].result_count, whole.context["cl"].paginator.is_cut) == (8, False)
    monkeypatch.setattr(bounded, "MOST_ROWS", 5)
    cut = listed(alice(), "payment")
    assert (cut.context["cl"].result_count, cut.context["cl"].paginator.is_cut) == (5, True)
    assert "narrow the list" in cut.content.decode()
    assert "narrow the list" not in whole.content.decode()


@pytest.mark.once
def test_no_list_counts_its_whole_table(asked: Refund) -> None:
    questions: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        questions.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        for model in LISTS:
            listed(dora(), model)
    counts = [sql for sql in questions if "COUNT(" in sql and any(f"refunds_{model}" in sql for model in LISTS)]
    assert len(counts) >= len(LISTS)
    assert [sql for sql in counts if "LIMIT" not in sql] == []


@pytest.mark.parametrize("model", LISTS)
def test_every_column_that_sorts_has_an_index(model: str, asked: Refund) -> None:
    """A click on a column of a table of millions reads a page of it: the database is asked for its plan."""
    screen = next(one for kind, one in admin.site._registry.items() if kind._meta.label_lower == f"refunds.{model}")
    columns = [getattr(screen, name, None) for name in screen.list_display]
    orderings = [found for column in columns if (found := getattr(column, "admin_order_field", None))]
    assert orderings
    for ordering in [*orderings, LISTS[model]]:
        rows = screen.model.objects.order_by(ordering)[:50]
        with no_shortcuts():
            plan = rows.values("pk").explain()
        assert not re.search("TEMP B-TREE|^ *(->)? *Sort", plan, re.MULTILINE), (ordering, plan)


@pytest.mark.once
def test_each_currency_is_offered_once() -> None:
    assert currencies() == []
    for n, code in enumerate(("EUR", "PLN", "EUR", "KWD", "PLN")):
        make_payment(1000, code, f"p-{n}")
    assert currencies() == ["EUR", "KWD", "PLN"]
    assert {payment.currency for payment in rows(carol(), "payment", currency="PLN")} == {"PLN"}
    assert rows(carol(), "payment", currency="XXX") == []


def test_parts_of_words_have_indexes_where_the_server_can() -> None:
    """SQLite never has them, and a PostgreSQL server without pg_trgm is left as it is, and a check says so."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        can = connection.vendor == "sqlite" or cursor.fetchone() is not None
    assert trigrams.missing(connection) == ([] if can else list(trigrams.INDEXES))
    assert [warning.id for warning in trigrams.check(["default"])] == ([] if can else ["refunds.W013"])

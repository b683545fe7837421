"""The readers of answers and settings: what each takes, and the sentence for what it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateways.contract import Outcome
from gateways.errors import BadWebhook, Misconfigured, NoAnswer
from gateways.http import Response
from gateways.money import Money
from gateways.reading import (
    amount_at,
    body_of,
    details_at,
    form_of,
    json_of,
    line_of,
    moment_of,
    money_of,
    name_at,
    no_answer_to,
    objects_at,
    outcome_table,
    seconds_at,
    unreadable_is,
    whole_at,
    word_at,
    words_of,
    xml_of,
)


def answer(body=b'{"a": 1}', status=200, **headers):
    return Response(status, {name.replace("_", "-"): text for name, text in headers.items()}, body)


def test_an_answer_counts_with_the_statuses_that_settle_something():
    assert json_of(answer(), "They") == {"a": 1}
    assert body_of(answer(status=404), "They", (200, 404)) == b'{"a": 1}'
    assert json_of(answer(status=404), "They", (404,)) == {"a": 1}
    for read in (json_of, body_of):
        with pytest.raises(NoAnswer, match="They answered with HTTP status 404, which settles nothing") as trouble:
            read(answer(status=404, retry_after="7"), "They")
        assert trouble.value.retry_after == timedelta(seconds=7)


def test_an_answer_that_cannot_be_read_is_none():
    with pytest.raises(
        NoAnswer, match=r"The answer of They \(HTTP status 200\) cannot be relied on: .* not JSON"
    ) as trouble:
        json_of(answer(b"<html>", retry_after="9"), "They")
    assert trouble.value.retry_after == timedelta(seconds=9)
    assert no_answer_to(answer())("?").retry_after is None


def test_an_array_of_one_object_may_stand_for_the_object():
    for body in (b'[{"a": 1}]', b' \t\r\n[{"a": 1}]\n', b'{"a": 1}', b'[ {"a": 1} ]'):
        assert json_of(answer(body), "They", may_be_wrapped=True) == {"a": 1}
    for body in (b"[]", b'[{"a": 1}, {"a": 2}]', b'[{"a": 1}', b'{"a": 1}]', b"[1]"):
        with pytest.raises(NoAnswer):
            json_of(answer(body), "They", may_be_wrapped=True)
    with pytest.raises(NoAnswer):
        json_of(answer(b'[{"a": 1}]'), "They")


def test_a_form_has_each_field_once():
    assert form_of(b"a=1&b=&c=%C5%BC+%2B") == {"a": "1", "b": "", "c": "ż +"}
    assert len(form_of(b"&".join(b"f%d=1" % number for number in range(100)))) == 100
    for raw in (b"a=1&a=2", b"a=%FF", b"\xff=1", b"a", b"a=1&&b=2", b"&".join(b"f%d=1" % n for n in range(101))):
        with pytest.raises(ValueError, match=r"\w"):
            form_of(raw)


XML = "<?xml version='1.0'?><r><x>0</x><b><id> 7 </id><name>ż</name><none/></b></r>"


def test_one_element_of_a_text_is_read():
    assert xml_of(XML.encode(), "r", "b") == {"id": "7", "name": "ż", "none": ""}
    assert xml_of(b"<b><id>7</id></b>", "b") == {"id": "7"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<r>", "not XML"),
        ("", "not XML"),
        ("<q><b/></q>", "not one r in it"),
        ("<r/>", "not one b in it"),
        ("<r><b/><b/></r>", "not one b in it"),
        ("<r><c><b/></c></r>", "not one b in it"),
        ("<r><b><id><x/></id></b></r>", "more than a text"),
        ("<r><b><id/><id/></b></r>", "stands twice"),
        ("<!DOCTYPE r><r><b/></r>", "DTD"),
        ('<!DOCTYPE r [<!ENTITY e "x">]><r><b><id>&e;</id></b></r>', "DTD"),
    ],
)
def test_any_other_text_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        xml_of(text.encode(), "r", "b")
    with pytest.raises(ValueError, match="not UTF-8"):
        xml_of(b"<r>\xff</r>", "r")


def test_trouble_in_reading_becomes_ours():
    with pytest.raises(BadWebhook, match=r"^It cannot be relied on: why$"), unreadable_is(BadWebhook, "It"):
        raise ValueError("why")
    with pytest.raises(KeyError), unreadable_is(BadWebhook, "It"):
        raise KeyError("why")


TOLD = {"a": {"word": "x", "n": 7, "yes": True, "none": None, "half": Decimal("0.5"), "empty": ""}}


def test_a_word_may_be_written_as_a_number_or_a_boolean():
    assert [word_at(TOLD, "a", name) for name in ("word", "n", "yes", "none", "missing")] == ["x", "7", "true", "", ""]
    with pytest.raises(ValueError, match="half is not a text"):
        word_at(TOLD, "a", "half")
    assert (whole_at(TOLD, "a", "n"), whole_at(TOLD, "a", "none")) == (7, None)


def test_a_name_is_there_and_not_too_long():
    assert name_at(TOLD, "a", "word") == "x"
    assert name_at({"id": "x" * 100}, "id") == "x" * 100
    for name in ("empty", "none", "missing"):
        assert name_at(TOLD, "a", name, needed=False) == ""
        with pytest.raises(ValueError, match=f"{name} is missing"):
            name_at(TOLD, "a", name)
    with pytest.raises(ValueError, match="id is too long"):
        name_at({"id": "x" * 101}, "id")


def test_an_amount_has_a_value_and_a_currency():
    told = {
        "in": {"amount": {"value": "12.50", "currency": "EUR"}, "other": {"amount": "7", "currency": "JPY"}, "no": {}}
    }
    assert amount_at(told, "in", "amount") == Money(1250, "EUR")
    assert amount_at(told, "in", "other", called="amount") == Money(7, "JPY")
    assert (amount_at(told, "in", "no"), amount_at(told, "in", "missing")) == (None, None)
    with pytest.raises(ValueError, match="value is missing"):
        amount_at(told, "in", "other")


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1200.00", "JPY", 1200),
        ("1200", "JPY", 1200),
        ("12.5000", "EUR", 1250),
        ("12.5", "EUR", 1250),
        ("1.005", "KWD", 1005),
    ],
)
def test_zeros_past_the_grid_do_no_harm(text, currency, minor):
    assert money_of(text, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    ("text", "currency"), [("1200.50", "JPY"), ("12.505", "EUR"), ("12.5001", "EUR"), ("12.", "EUR")]
)
def test_anything_else_past_the_grid_does(text, currency):
    if text == "12.":
        assert money_of(text, currency) == Money(1200, "EUR")
        return
    with pytest.raises(ValueError, match=r"decimals|amount"):
        money_of(text, currency)


def test_a_moment_says_its_zone():
    assert moment_of("2026-03-01T10:30:02+01:00") == datetime(2026, 3, 1, 9, 30, 2, tzinfo=UTC)
    assert moment_of("2026-03-01T10:30:02+01:00").tzinfo is UTC
    assert moment_of("2026-03-01T10:30:02") is None


def test_details_are_for_people_and_cut():
    table = {
        "rrn": ("RRN", "a", "n"),
        "long": ("Long", "long"),
        "empty": ("Empty", "a", "empty"),
        "gone": ("Gone", "x", "y"),
    }
    told = {**TOLD, "long": "x" * 600}
    assert details_at(told, table) == {"rrn": "7", "long": "x" * 500}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("x", "x"),
        (7, "7"),
        (None, ""),
        ({"value": "13.61", "currency": "USD"}, "13.61 USD"),
        (["a", None, "b"], "a; b"),
        ({"a": "x", "b": {"c": "y", "d": "z"}}, "x: y z"),
        ({"a": "x", "b": ["y", "z"]}, "x: y; z"),
        ({"a": "x", "b": None, "c": "z"}, "x z"),
    ],
)
def test_any_value_is_one_line(value, line):
    assert line_of(value) == line


def test_each_status_word_means_one_thing():
    table = outcome_table({"STATUS_SUCCEEDED": "PAID, DONE,", "STATUS_FAILED": "NO", "OTHER": "X"})
    assert table == {"PAID": Outcome.SUCCEEDED, "DONE": Outcome.SUCCEEDED, "NO": Outcome.FAILED}
    assert outcome_table({"STATUS_FAILED": "NO, NO"}) == {"NO": Outcome.FAILED}
    with pytest.raises(Misconfigured, match=r"STATUS_\w+ holds PAID, which already means"):
        outcome_table({"STATUS_SUCCEEDED": "PAID", "STATUS_FAILED": "PAID"})
    assert (words_of(" a , ,b c,"), words_of("")) == (["a", "b c"], [])


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), (" 900 ", 900), ("9999999", 9999999)])
def test_seconds_are_whole(text, seconds):
    assert seconds_at({"X": text}, "X") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "²", "\uff11", "12345678"])
def test_nothing_else_is_seconds(text):
    with pytest.raises(Misconfigured, match="X is a whole number of seconds"):
        seconds_at({"X": text}, "X")


def test_a_path_may_have_one_step_or_many():
    deep = {"n": 3, "a": {"b": {"n": 4, "list": [{"x": 1}]}}, "list": [{"x": 2}]}
    assert (whole_at(deep, "n"), whole_at(deep, "a", "b", "n"), whole_at(deep, "a", "n")) == (3, 4, None)
    assert objects_at(deep, "list") == [{"x": 2}]
    assert objects_at(deep, "a", "b", "list") == [{"x": 1}]
    assert objects_at(deep, "a", "list") == []


def test_only_the_blanks_of_json_stand_around_a_wrapped_object():
    assert json_of(answer(b" \r\n\t[{}]\n"), "They", may_be_wrapped=True) == {}
    with pytest.raises(NoAnswer):
        json_of(answer(b"\x0b[{}]\x0b"), "They", may_be_wrapped=True)


def test_an_amount_without_a_point_is_whole_and_one_with_a_letter_is_none():
    assert money_of("1200", "EUR") == Money(120_000, "EUR")
    for text in ("1.00X", "1.0X0", "X1.00"):
        with pytest.raises(ValueError, match=r"\w"):
            money_of(text, "EUR")

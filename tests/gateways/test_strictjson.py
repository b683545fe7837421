"""JSON that could be read in two ways is not read at all."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.reading import moment_of, name_at, object_at, objects_at, text_at, whole_at
from gateways.strictjson import parse


def test_plain_json_is_read_with_exact_fractions():
    raw = '{"a": 12.50, "b": [1, {"c": "é😀"}], "d": null, "e": true, "f": 123456789012345678}'.encode()
    assert parse(raw) == {
        "a": Decimal("12.50"),
        "b": [1, {"c": "é😀"}],
        "d": None,
        "e": True,
        "f": 123456789012345678,
    }
    assert type(parse(raw)["a"]) is Decimal


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'"text"',
        b"12",
        b"null",
        b"{",
        b"{} {}",
        b"{}\0",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "\\u0061": 1}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": 1e-400}',
        b'{"a": 1e99999999999999999999}',
        b'{"a": 0.' + b"1" * 50 + b"}",
        b'{"a": 1234567890123456789}',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"a": "\\ud800"}',
        b'{"a": ["\\udc00"]}',
        b'{"a": "\n"}',
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b'{"a":' + b"[" * 100_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_doubtful_json_is_refused(raw):
    with pytest.raises(ValueError, match=r"[a-z]\b.*"):
        parse(raw)


def test_brackets_inside_texts_are_not_depth():
    assert parse(b'{"a": "[[[[[[[[[[[[[[[[[[[[\\"{{{{{{{{"}')
    assert parse(b'{"a":' * 16 + b"1" + b"}" * 16)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_counted_up_and_down(opening, closing):
    inner = opening * 15 + b"{}" + closing * 15
    assert parse(b'{"a":' + opening * 14 + b"{}" + closing * 14 + b"}")
    beside = b",".join([b"[[]]", b'{"a":{}}'] * 20)
    assert parse(b'{"a":[' + beside + b"]}")
    with pytest.raises(ValueError, match="nested deeper than 16"):
        parse(b'{"a":[' + beside + b"," + inner + b"]}")


def test_what_is_no_json_and_what_is_no_object_are_two_things():
    with pytest.raises(ValueError, match=r"is not JSON: Expecting value"):
        parse(b'{"a": nothing}')
    with pytest.raises(ValueError, match="not an object"):
        parse(b"[]")


@pytest.mark.parametrize(
    ("number", "is_read"),
    [
        ("9" * 18, True),
        ("-" + "9" * 18, True),
        ("9" * 19, False),
        ("-" + "9" * 19, False),
        ("1e18", True),
        ("1e19", False),
        ("1e-18", True),
        ("1e-19", False),
        ("0." + "1" * 34, True),
        ("0." + "1" * 35, False),
        ("1" * 18 + ".5", True),
        ("1" * 20 + ".5", False),
    ],
)
def test_numbers_are_read_up_to_18_digits(number, is_read):
    raw = b'{"a": ' + number.encode() + b"}"
    if is_read:
        assert parse(raw)["a"] == Decimal(number)
        return
    with pytest.raises(ValueError, match="number"):
        parse(raw)


def test_a_text_over_the_limit_is_refused():
    assert parse(b'{"a": 1}', max_bytes=8)
    with pytest.raises(ValueError, match="larger"):
        parse(b'{"a": 1}', max_bytes=7)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123456789.eE+-\\u nul', max_size=200).map(str.encode))
def test_nothing_but_a_value_error_comes_out(raw):
    with suppress(ValueError):
        assert isinstance(parse(raw), dict)


TOLD = {"a": {"b": "text", "n": 7, "yes": True}, "list": [{"c": "1"}], "mixed": [{}, 1], "nothing": None}


def test_readers_find_what_is_there():
    assert text_at(TOLD, "a", "b") == "text"
    assert whole_at(TOLD, "a", "n") == 7
    assert objects_at(TOLD, "list") == [{"c": "1"}]
    assert object_at(TOLD, "a")["n"] == 7


def test_missing_and_null_read_as_empty():
    assert (text_at(TOLD, "x", "y"), text_at(TOLD, "nothing"), text_at(TOLD, "nothing", "b")) == ("", "", "")
    assert whole_at(TOLD, "x") is None
    assert (objects_at(TOLD, "x"), object_at(TOLD, "nothing", "x")) == ([], {})


@pytest.mark.parametrize(
    ("reader", "path"),
    [
        (text_at, ("a",)),
        (text_at, ("a", "n")),
        (text_at, ("a", "b", "b")),
        (whole_at, ("a", "b")),
        (whole_at, ("a", "yes")),
        (objects_at, ("a",)),
        (objects_at, ("mixed",)),
        (object_at, ("list",)),
        (name_at, ("nothing",)),
    ],
)
def test_another_type_is_refused(reader, path):
    with pytest.raises(ValueError, match=path[-1]):
        reader(TOLD, *path)


def test_a_name_that_no_table_could_keep_is_refused():
    assert name_at({"id": "x" * 100}, "id")
    assert name_at({}, "id", needed=False) == ""
    with pytest.raises(ValueError, match="too long"):
        name_at({"id": "x" * 101}, "id", needed=False)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "0001-01-01T00:00:00+09:00"]
)
def test_a_moment_that_cannot_be_placed_is_none(text):
    assert moment_of(text) is None


def test_a_moment_comes_in_utc():
    assert moment_of("2026-03-01T10:30:02+01:00").isoformat() == "2026-03-01T09:30:02+00:00"

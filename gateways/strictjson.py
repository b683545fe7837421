"""JSON as money needs it: one reading or none. Raises ValueError, with a sentence, for anything doubtful."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import NoReturn

DEEPEST = 16
MOST_DIGITS = 18
STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
NEVER_IN_TEXT = re.compile("[\x00\ud800-\udfff]")

Object = dict[str, object]


def parse(raw: bytes, max_bytes: int = 262_144) -> Object:
    """The object in these UTF-8 bytes; fractions come as Decimal."""
    if len(raw) > max_bytes:
        raise ValueError(f"The text is larger than {max_bytes} bytes.")
    text = decode(raw)
    check_depth(text)
    parsed = load(text)
    if not isinstance(parsed, dict):
        raise ValueError("The text is JSON, but not an object.")
    for part in texts(parsed):
        if NEVER_IN_TEXT.search(part):
            raise ValueError("A text holds a character that is none (NUL or half a pair).")
    return parsed


def load(text: str) -> object:
    try:
        return json.loads(
            text, object_pairs_hook=without_doubles, parse_int=whole, parse_float=fraction, parse_constant=no_constant
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"The text is not JSON: {error}.") from None


def decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("The text is not UTF-8.") from None


def check_depth(text: str) -> None:
    """Counted before parsing: the parser itself would end in a RecursionError."""
    depth = 0
    for found in STRINGS_AND_BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > DEEPEST:
            raise ValueError(f"The text is nested deeper than {DEEPEST} levels.")


def without_doubles(pairs: list[tuple[str, object]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("A name stands twice in one object.")
    return found


def whole(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"A number has more than {MOST_DIGITS} digits.")
    return int(text)


def fraction(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("A number is out of all bounds.") from None
    if len(text) > 2 * MOST_DIGITS or abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError("A number is out of all bounds.")
    return number


def no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number.")


def texts(value: object) -> Iterator[str]:
    """Every text in a parsed value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)

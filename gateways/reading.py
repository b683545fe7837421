"""Typed readers for answers and settings. They raise ValueError, with a sentence, for any other type."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qsl

from defusedxml.ElementTree import ParseError, fromstring

from gateways.contract import Outcome
from gateways.errors import GatewayError, Misconfigured, NoAnswer
from gateways.http import Response, retry_after
from gateways.money import Money, exponent
from gateways.strictjson import Object, decode, parse, without_doubles

LONGEST_NAME = 100  # an id that no table of ours could keep is none
LONGEST_DETAIL = 500
MOST_FIELDS = 100  # of a form
One = TypeVar("One")
Read = TypeVar("Read")


def json_of(answer: Response, who: str, statuses: tuple[int, ...] = (200,), *, may_be_wrapped: bool = False) -> Object:
    """The JSON of an answer. Raises NoAnswer for a status that settles nothing and for a text that cannot be read.

    `may_be_wrapped`: an array of one object alone counts as the object.
    """
    body = body_of(answer, who, statuses)
    if may_be_wrapped and (stripped := body.strip(b" \t\r\n"))[:1] + stripped[-1:] == b"[]":
        body = stripped[1:-1]
    with unreadable_is(no_answer_to(answer), f"The answer of {who} (HTTP status {answer.status})"):
        return parse(body)


def body_of(answer: Response, who: str, statuses: tuple[int, ...] = (200,)) -> bytes:
    """The body of an answer, unread. Raises NoAnswer for a status that settles nothing."""
    if answer.status not in statuses:
        raise no_answer_to(answer)(f"{who} answered with HTTP status {answer.status}, which settles nothing.")
    return answer.body


def no_answer_to(answer: Response) -> Callable[[str], NoAnswer]:
    """NoAnswer with the time after which this answer asks us to come back."""
    return partial(NoAnswer, retry_after=retry_after(answer.headers.get("retry-after", "")))


def form_of(raw: bytes) -> Object:
    """The fields of a form in UTF-8, each once and all texts. Raises ValueError for anything else."""
    pairs = parse_qsl(
        decode(raw), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST_FIELDS
    )
    return without_doubles([*pairs])


def xml_of(raw: bytes, *path: str) -> Object:
    """The texts in the one element at a path from the root, by name. Raises ValueError for anything else.

    Whatever the text says its encoding is, it is UTF-8; it has no DTD and no entities; no name stands twice.
    """
    try:
        found = [fromstring(decode(raw), forbid_dtd=True)]
    except ParseError as error:
        raise ValueError(f"The text is not XML: {error}.") from None
    for depth, name in enumerate(path):
        found = [inner for outer in found for inner in outer if inner.tag == name] if depth else found
        if len(found) != 1 or found[0].tag != name:
            raise ValueError(f"There is not one {name} in it.")
    if any(len(field) for field in found[0]):
        raise ValueError("A field holds more than a text.")
    return without_doubles([(field.tag, (field.text or "").strip()) for field in found[0]])


@contextmanager
def unreadable_is(accident: Callable[[str], GatewayError], what: str) -> Iterator[None]:
    """Turns the readers' ValueError into one of our accidents."""
    try:
        yield
    except ValueError as error:
        raise accident(f"{what} cannot be relied on: {error}") from error


def each_readable(read: Callable[[One], Read], of: Mapping[str, One]) -> dict[str, Read]:
    """What can be read of several things, by their names: one that raises ValueError is left out and harms no other."""
    found = {}
    for name, one in of.items():
        with suppress(ValueError):
            found[name] = read(one)
    return found


def object_at(value: Object, *path: str) -> Object:
    """The object at a path; missing or null is {}. Raises ValueError for anything else."""
    for name in path:
        inner = value.get(name)
        if inner is None:
            return {}
        if not isinstance(inner, dict):
            raise ValueError(f"{name} is not an object.")
        value = inner
    return value


def text_at(value: Object, *path: str) -> str:
    """The text at a path; missing or null is "". Raises ValueError for anything else."""
    text = object_at(value, *path[:-1]).get(path[-1])
    if text is None:
        return ""
    if not isinstance(text, str):
        raise ValueError(f"{path[-1]} is not a text.")
    return text


def word_at(value: Object, *path: str) -> str:
    """The text at a path, or the whole number or boolean that some write for it, as text; missing or null is ""."""
    word = object_at(value, *path[:-1]).get(path[-1])
    return json.dumps(word) if isinstance(word, int) else text_at(value, *path)


def whole_at(value: Object, *path: str) -> int | None:
    """The whole number at a path; missing or null is None. Raises ValueError for anything else, also for true."""
    number = object_at(value, *path[:-1]).get(path[-1])
    if number is not None and type(number) is not int:
        raise ValueError(f"{path[-1]} is not a whole number.")
    return number


def objects_at(value: Object, *path: str) -> list[Object]:
    """The list of objects at a path; missing or null is []. Raises ValueError for anything else."""
    found = object_at(value, *path[:-1]).get(path[-1])
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{path[-1]} is not a list of objects.")
    return found


def name_at(value: Object, *path: str, needed: bool = True) -> str:
    """The id or word at a path. Raises ValueError when it is over 100 characters, or needed and missing."""
    text = text_at(value, *path)
    if (needed and not text) or len(text) > LONGEST_NAME:
        raise ValueError(f"{path[-1]} is {'too long' if text else 'missing'}.")
    return text


def amount_at(value: Object, *path: str, called: str = "value") -> Money | None:
    """The {value, currency} object at a path, with the amount as text; missing is None. Some call the value amount."""
    if not object_at(value, *path):
        return None
    return money_of(name_at(value, *path, called), name_at(value, *path, "currency"))


def money_of(text: str, currency: str) -> Money:
    """Plain major units of a currency; zeros past its grid do no harm, as in 1200.00 JPY. Raises ValueError."""
    whole, point, decimals = text.partition(".")
    places = exponent(currency)
    if not decimals[places:].strip("0"):
        decimals = decimals[:places]
    return Money.parse(whole + (point if decimals else "") + decimals, currency)


def moment_of(text: str) -> datetime | None:
    """An ISO 8601 moment in UTC; None for anything that is not one, or does not say its zone."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def details_at(told: Object, table: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What they tell beside the essentials, by a table of name → (label, *path), cut to 500 characters each.

    It is for people, so any type will do; what is missing or empty is left out.
    """
    found = {name: line_of(object_at(told, *path[:-1]).get(path[-1])) for name, (_, *path) in table.items()}
    return {name: text[:LONGEST_DETAIL] for name, text in found.items() if text}


def line_of(value: object) -> str:
    """A JSON value in one line: {value, currency} as "13.61 USD", lists by semicolons, what is nested by colons."""
    if isinstance(value, list):
        return "; ".join(filter(None, map(line_of, value)))
    if isinstance(value, dict):
        is_flat = not any(isinstance(inner, dict | list) for inner in value.values())
        return (" " if is_flat else ": ").join(filter(None, map(line_of, value.values())))
    return "" if value is None else str(value)


def outcome_table(config: Mapping[str, str]) -> dict[str, Outcome]:
    """Their status words by what they mean, from the settings STATUS_SUCCEEDED, STATUS_FAILED and so on.

    Raises Misconfigured when one word would mean two things.
    """
    table: dict[str, Outcome] = {}
    for outcome in Outcome:
        for word in words_of(config.get(f"STATUS_{outcome.name}", "")):
            if table.setdefault(word, outcome) is not outcome:
                raise Misconfigured(f"STATUS_{outcome.name} holds {word}, which already means {table[word]}.")
    return table


def words_of(text: str) -> list[str]:
    """The words of a setting that are separated by commas."""
    return [word for part in text.split(",") if (word := part.strip())]


def seconds_at(config: Mapping[str, str], key: str) -> timedelta:
    """A setting in whole seconds. Raises Misconfigured for anything else."""
    text = config[key].strip()
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise Misconfigured(f"{key} is a whole number of seconds, such as 900.")
    return timedelta(seconds=int(text))

"""Card numbers in text: found where a person typed one, masked where somebody else said one. Nothing here keeps any."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate

SHORTEST, LONGEST = 13, 19
# What stands between the groups of a number: one blank or stroke, also as a URL writes them.
GAP = r"(?:%20|[ \t\u00a0\u2007\u2009\u202f.+\-\u2010-\u2015])"
RUN = re.compile(rf"(?<!\d)\d+(?:{GAP}\d+)*(?!\d)")
IBAN = re.compile(r"(?:\A|[^A-Za-z])[A-Z]{2}\Z")
PLUS = re.compile(r"(?:\A|[\s(:;,'\"])\+\Z")  # elsewhere it is a blank, as a form writes it
LONGEST_TELEPHONE = 15
# Keys (UUID) and digests: among so many signs, some digits are a card's by chance.
NAMES = re.compile(
    r"(?<![0-9A-Za-z-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9A-Za-z-])"
    r"|(?<![0-9A-Za-z])(?=[0-9]*[a-f])[0-9a-f]{32,}(?![0-9A-Za-z])"
)
GROUPINGS = {(4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1), (4, 4, 4, 2), (4, 4, 4, 3), (4, 6, 5), (4, 6, 4)}
PACKED = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
MASK = "•"


def has_number(text: str) -> bool:
    """Does this hold 13 to 19 digits, in any script, that are a card's number by their check digit?"""
    return any(True for _ in _spans(unicodedata.normalize("NFKC", text)))


def masked(text: str) -> str:
    """The text with only the first six and the last four digits of each card number; packed ones (base64) go whole."""
    for start, end in reversed(list(_spans(text))):
        text = text[:start] + _mask(text[start:end]) + text[end:]
    return PACKED.sub(_unpacked, text)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand: a whole run of digits, or some of its groups as cards print them."""
    names = [found.span() for found in NAMES.finditer(text)]
    for run in RUN.finditer(text):
        if run.end() - run.start() < SHORTEST or _is_something_else(
            text[max(run.start() - 3, 0) : run.start()], run[0]
        ):
            continue
        if any(start < run.end() and run.start() < end for start, end in names):
            continue
        groups, at = list(_groups(run[0])), 0
        while at < len(groups):
            n_used = _card_at(run[0], groups, at)
            if n_used:
                yield run.start() + groups[at][0], run.start() + groups[at + n_used - 1][1]
            at += n_used or 1


def _card_at(run: str, groups: list[tuple[int, int]], at: int) -> int:
    """How many groups from this one on are a card's number, as many as can be; 0 for none."""
    digits, found = "", 0
    lengths: tuple[int, ...] = ()
    for number, (start, end) in enumerate(groups[at:], start=1):
        digits, lengths = digits + run[start:end], (*lengths, end - start)
        if len(digits) > LONGEST:
            break
        if (number in (1, len(groups)) or lengths in GROUPINGS) and is_card(digits):
            found = number
    return found


def _is_something_else(before: str, run: str) -> bool:
    """An IBAN, by the letters in front, or a telephone number, by its plus."""
    return bool(IBAN.search(before)) or (
        bool(PLUS.search(before)) and sum(map(str.isdecimal, run)) <= LONGEST_TELEPHONE
    )


def _groups(run: str) -> Iterator[tuple[int, int]]:
    at = 0
    for piece in re.split(f"({GAP})", run):
        if piece and not re.fullmatch(GAP, piece):
            yield at, at + len(piece)
        at += len(piece)


def is_card(digits: str) -> bool:
    """Luhn's check digit; 0 and 1 open no card, but times and numbers of rows."""
    numbers = [unicodedata.decimal(digit) for digit in digits]
    if not SHORTEST <= len(numbers) <= LONGEST or numbers[0] < 2:
        return False
    doubled = [2 * n - 9 * (n > 4) if place % 2 else n for place, n in enumerate(reversed(numbers))]
    return sum(doubled) % 10 == 0


def _mask(number: str) -> str:
    signs = number.replace("%20", "   ")  # as long, and without digits of its own
    places = list(accumulate(sign.isdecimal() for sign in signs))
    hidden = [signs[at].isdecimal() and 6 < place <= places[-1] - 4 for at, place in enumerate(places)]
    return "".join(MASK if is_hidden else sign for is_hidden, sign in zip(hidden, number, strict=True))


def _unpacked(found: re.Match[str]) -> str:
    """A piece of base64, such as a token's, goes whole when a card number is in it."""
    for altchars in (None, b"-_"):
        try:
            inside = base64.b64decode(found[0].rstrip("=") + "===", altchars, validate=False)
        except (binascii.Error, ValueError):
            continue
        if has_number(inside.decode("latin-1")):
            return MASK * 3
    return found[0]

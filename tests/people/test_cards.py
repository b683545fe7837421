"""What is a card's number, and what only looks like one."""

from __future__ import annotations

import base64
import random
from urllib.parse import quote, quote_plus

import pytest

from gateways import cards
from tests.people.canaries import PANS


def test_the_twenty_numbers_are_cards() -> None:
    assert len(set(PANS)) == 20
    assert all(cards.is_card(pan) for pan in PANS)
    assert {len(pan) for pan in PANS} >= {13, 14, 15, 16, 19}


def spellings(pan: str) -> list[str]:
    grouped = " ".join(pan[at : at + 4] for at in range(0, len(pan), 4))
    wide = "".join(chr(ord(digit) + 0xFF10 - ord("0")) for digit in pan)
    return [
        pan,
        grouped,
        grouped.replace(" ", "-"),
        grouped.replace(" ", "\N{NO-BREAK SPACE}"),
        grouped.replace(" ", "."),
        wide,
        f"card {pan}, please",
        f"{pan}.",
        f"pan={pan}&cvv=123",
        f'{{"number":"{pan}"}}',
        f"order 12 {pan}",
        f"{pan} 12/27 123",
    ]


@pytest.mark.promise("I42")
@pytest.mark.parametrize("pan", PANS)
def test_a_card_number_is_found_and_masked_however_it_is_written(pan: str) -> None:
    for text in spellings(pan):
        assert cards.has_number(text), text
        masked = cards.masked(text)
        assert not cards.has_number(masked), text
        digits = "".join(sign for sign in masked if sign.isdecimal())
        assert pan not in digits, text
    assert cards.masked(pan) == pan[:6] + "•" * (len(pan) - 10) + pan[-4:]


@pytest.mark.parametrize("pan", PANS)
def test_a_packed_card_number_is_masked_whole(pan: str) -> None:
    inside = f'{{"customer":"Anna Nowak","card":"{pan}"}}'.encode()
    grouped = " ".join(pan[at : at + 4] for at in range(0, len(pan), 4))
    for packed in (base64.b64encode(inside).decode(), base64.urlsafe_b64encode(inside).decode().rstrip("=")):
        assert cards.masked(f"a.{packed}.b") == "a.•••.b"
    for packed in (quote(grouped), quote_plus(grouped)):
        assert pan not in cards.masked(packed).replace("%20", "").replace("+", "")
        assert "•" * (len(pan) - 10) in cards.masked(packed).replace("%20", "").replace("+", "")


def test_every_card_of_a_row_is_masked() -> None:
    assert cards.masked(" ".join(PANS)).count("•") == sum(len(pan) - 10 for pan in PANS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "R-000042",
        "W21796",
        "4111 1111 1111 1112",  # its check digit is wrong
        "1795608180000",  # a moment in milliseconds
        "0000000000000000",
        "+48 600 700 800 01",
        "PL61 1090 1014 0000 0712 1981 2874",
        "DE89370400440532013000",
        "2026-11-21 14:30:00 and 2026-11-22 15:00:00",
        "8b0a2e6c-5f0c-4b3e-9d2a-1f2e3d4c5b6a",
        "12345678901234567890123",
        "411111ab-4111-4111-8111-111111111111",
        "a4111111111111111bcdef0123456789abcdef0123456789abcdef0123456789",
        "amounts 12.50, 13.50 and 14.50",
        "411111",
    ],
)
def test_what_only_looks_like_one_is_left_alone(text: str) -> None:
    assert not cards.has_number(text)
    assert cards.masked(text) == text


def test_any_text_at_all_can_be_searched() -> None:
    chance = random.Random(5)
    signs = "0123456789 -.+%20abcXYZ/=_\n\t\N{NO-BREAK SPACE}٣४\ud800"
    for _ in range(2000):
        text = "".join(chance.choices(signs, k=chance.randrange(80)))
        masked = cards.masked(text)
        assert cards.masked(masked) == masked


def test_a_long_text_is_searched_quickly_enough_to_be_read_to_its_end() -> None:
    for text in ("1 " * 30_000, "4" * 60_000, "4111 " * 12_000, "a" * 60_000):
        cards.masked(text)


def test_no_key_and_no_digest_is_ever_taken_for_a_card() -> None:
    chance = random.Random(7)
    for _ in range(5000):
        digest = "".join(chance.choices("0123456789" * 9 + "abcdef", k=64))
        key = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
        for name in (f"checkpoint 17 up to line 1234: {digest}", f"R {key}."):
            assert cards.masked(name) == name

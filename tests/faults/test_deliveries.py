"""One webhook, delivered many times at once, cut off at every statement, or again after weeks: as if it came once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count, product
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from refunds.accounts import prefix_of
from refunds.models import Account, Payment
from tests.builders import ACCOUNTS, again
from tests.faults import books
from tests.faults.life import ANSWER, CRASH, WORDS, Letter, Life, shows
from tests.faults.race import DONE, Players, Round, copies
from tests.faults.test_permutations import COMES_BACK, FAILS, PAYS, SENT, SPEAKS
from tests.refunds.test_webhooks import OURS, pem

WIDTHS = {2: 40, 5: 35, 15: 20, 50: 5}  # so many at once: rounds
OF_NOBODY = {"key": "00000000-0000-4000-8000-000000000000", "reference": "71600000102"}


# --- At once ---


@pytest.mark.promise("I35")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("gateway", "width"), [*product(SPEAKS, WIDTHS), ("pay3", 15)])
def test_however_many_come_at_once_it_is_as_if_one_came(
    gateway: str, width: int, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int], None]
) -> None:
    life = Life(gateway, PAYS, monkeypatch)
    CRASH.play(life)
    rounds = copies(Payment.objects.get(), range(WIDTHS[width] + 1))
    letters = {one.payment.pk: letter_about(life, one) for one in rounds}

    def deliver(one: Round) -> None:
        assert life.deliver(letters[one.payment.pk]) == 200

    deliver(rounds[0])
    with Players([deliver] * width) as players:
        assert players.play(rounds[1:]) == [[DONE] * width] * WIDTHS[width]
    trials(WIDTHS[width])
    once = books.dump(rounds[0].payment)
    assert [one for one in rounds if books.dump(one.payment) != once] == []
    assert books.faults([one.payment.pk for one in rounds]) == []


def letter_about(life: Life, one: Round) -> Letter:
    of_another = {"key": str(one.refunds[0].key), "payment": one.payment.reference}
    return life.letter("succeeded", **of_another, reference=f"{one.payment.reference}01")


# --- Cut off ---


@contextmanager
def cut_off_at(n: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The database fails at statement n of the connection, or at the commit that comes after the last one.

    Yields the statements that were tried.
    """
    tried: list[str] = []
    commit = connection._commit

    def fail(sql: str) -> None:
        tried.append(sql)
        if len(tried) == n:
            raise OperationalError("The database is gone.")

    def execute(execute: Callable[..., Any], sql: str, *more: Any) -> Any:
        fail(sql)
        return execute(sql, *more)

    with monkeypatch.context() as patched, connection.execute_wrapper(execute):
        patched.setattr(connection, "_commit", lambda: (fail("COMMIT"), commit()))
        yield tried


@pytest.mark.promise("I25", "I35", "I37")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_ours", [True, False], ids=["ours", "of nobody"])
@pytest.mark.parametrize("gateway", SENT)
def test_cut_off_anywhere_it_keeps_nothing_and_the_next_delivery_all(
    gateway: str, is_ours: bool, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int], None]
) -> None:
    life = Life(gateway, PAYS, monkeypatch)
    CRASH.play(life)
    letter = life.letter("succeeded", **({} if is_ours else OF_NOBODY))
    before, once = books.dump(), after(life, letter)
    for n in count(1):
        with cut_off_at(n, monkeypatch) as tried:
            status = life.deliver(letter)
        if "COMMIT" in tried[: n - 1]:
            break  # only the wake-up of a worker could still be lost
        assert (status, books.dump()) == (503, before), tried
        assert after(life, letter) == once, tried
    assert (status, books.dump()) == (200, once)
    trials(n)


def after(life: Life, letter: Letter) -> list[dict[str, Any]]:
    """How all stands after this delivery, which is then taken back."""
    with transaction.atomic():
        assert life.deliver(letter) == 200
        stands = books.dump()
        transaction.set_rollback(True)
    return stands


@pytest.mark.promise("I35", "I37")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("gateway", SENT)
def test_kept_though_our_answer_was_lost_it_is_not_kept_twice(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(gateway, PAYS, monkeypatch)
    CRASH.play(life)
    once, commit = after(life, life.letters["succeeded"]), connection._commit

    def lose(*_: object) -> None:
        commit()
        raise OperationalError("The line was cut after the commit.")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "_commit", lose)
        assert life.deliver(life.letters["succeeded"]) == 503
    assert books.dump() == once
    assert life.deliver(life.letters["succeeded"]) == 200
    assert books.dump() == once


# --- Again, much later ---

LATER = (timedelta(), timedelta(days=1), timedelta(days=60))
KEYS = {"paynow": "SIGNATURE_KEY", "pay3": "WEBHOOK_SECRET", "examplepay": "APP_SECRET"}


@pytest.mark.promise("I20", "I34", "I41")
@pytest.mark.django_db
@pytest.mark.parametrize("is_rotated", [False, True], ids=["same key", "another key"])
@pytest.mark.parametrize("amount", [PAYS, COMES_BACK, FAILS])
@pytest.mark.parametrize("gateway", SENT)
def test_all_of_it_again_much_later_changes_nothing(
    gateway: str, amount: int, is_rotated: bool, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int], None]
) -> None:
    life = Life(gateway, amount, monkeypatch)
    words = [
        word for word in WORDS[1:] if amount == COMES_BACK or word != ("failed" if amount == PAYS else "succeeded")
    ]
    ANSWER.play(life)
    for word in words:
        assert life.deliver(life.letters[word]) == 200
        life.rest(word) if word != "processing" else shows(word).play(life)
    stood = money_of()
    assert again(life.refund).status == {PAYS: "succeeded", COMES_BACK: "reversed", FAILS: "failed"}[amount]
    if is_rotated:
        rotate(gateway, monkeypatch)
    for wait in LATER:
        life.clock.ahead += wait
        for word in (*words, *reversed(words)):
            assert life.deliver(life.letters[word]) in (200, 401)
            assert money_of() == stood
        life.rest(words[-1])
        assert money_of() == stood
    trials(len(LATER) * 2 * len(words))


def rotate(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another key of theirs is in force; where a gateway has none (a checksum for all), nothing changes."""
    Account.objects.update(webhook_key=pem(OURS))
    if name := KEYS.get(gateway):
        monkeypatch.setenv(f"{prefix_of(ACCOUNTS[gateway])}_{name}", "another-key-" * 4)


def money_of() -> list[dict[str, Any]]:
    """All rows but those about what we asked, and when we ask."""
    rows = [row for row in books.dump() if row["row"] not in ("Attempt", "Delivery") or row.get("kind") == "send"]
    return [{name: row[name] for name in row if name not in ("ask_at", "asks")} for row in rows]

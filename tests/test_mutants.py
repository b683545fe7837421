"""The table of `make mutants` is about what there is, and a mutant is what it says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.mutants.__main__ import TABLE, complaints
from tests.mutants.making import mutants_of

ROOT = Path(__file__).resolve().parent.parent
ROWS = tomllib.loads(TABLE.read_text())
SOURCE = '''
import log

LIMIT: int = 3

@decorated
def may(who, amount=0):
    """Words."""
    if amount > LIMIT:
        raise ValueError("That is too much.")
    log.info("seen")
    return who.name == "alice"
'''


@pytest.mark.parametrize("module", ROWS)
def test_each_module_and_each_test_is_there(module: str) -> None:
    row = ROWS[module]
    assert (ROOT / module).is_file()
    assert row["tests"]
    for test in (*row["tests"], *row.get("but", [])):
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text()
    assert all(one["why"] for one in row.get("reviewed", []))


@pytest.mark.parametrize("module", [name for name in ROWS if ROWS[name].get("reviewed")])
def test_each_reviewed_survivor_is_still_a_mutant(module: str) -> None:
    names = {mutant.name for mutant in mutants_of((ROOT / module).read_text())}
    assert [one["mutant"] for one in ROWS[module]["reviewed"] if one["mutant"] not in names] == []


def test_mutants_are_small_changes_of_what_a_module_does() -> None:
    assert sorted(mutant.name for mutant in mutants_of(SOURCE)) == [
        "may: def may(who, amount=0): → def may(who, amount=1):",
        "may: if amount > LIMIT: → if amount >= LIMIT:",
        "may: if amount > LIMIT: → if not (amount > LIMIT):",
        'may: raise ValueError("That is too much.") → pass',
        'may: return who.name == "alice" → return who.name != "alice"',
        'may: return who.name == "alice" → return who.name == "XXaliceXX"',
        "module: LIMIT: int = 3 → LIMIT: int = 4",
        "module: LIMIT: int = 3 → LIMIT: int = None",
    ]


def test_a_survivor_that_nobody_knows_fails_the_run_and_so_does_a_dead_one_that_is_listed() -> None:
    found = {"killed": True, "known": False, "new": False, "listed": True}
    assert list(complaints("m", found, {"known": "fine", "listed": "fine"})) == [
        "m: nobody has reviewed new",
        "m: reviewed, yet it does not survive: listed",
    ]

"""`make mutants`: tries every mutant of the modules in table.toml and writes docs/mutants.md.

Not zero where one survives that nobody has reviewed. var/mutants remembers what was tried, so that a run can be cut
short; a module that has changed is tried anew, and survivors are once their tests have.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from tests.mutants.making import Mutant, mutants_of
from tests.mutants.running import try_all

ROOT = Path(__file__).resolve().parent.parent.parent
TABLE = Path(__file__).with_name("table.toml")
MEMORY = ROOT / "var" / "mutants"
PAGE = ROOT / "docs" / "mutants.md"
VOICE = os.fdopen(os.dup(1), "w")  # what forks may say; all else that they say is for nobody


def memory_of(module: str) -> Path:
    return MEMORY / (module.replace("/", ".") + ".json")


def stamp(*names: str) -> str:
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in names)).hexdigest()[:16]


def try_module(module: str, row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What became of each mutant of a module: its name → True (killed) or False."""
    memory = memory_of(module)
    known = json.loads(memory.read_text()) if memory.exists() else {}
    source, judges = stamp(module), stamp(*row["tests"])
    if known.get("source") != source:
        known = {"source": source, "found": {}}
    mutants = mutants_of((ROOT / module).read_text())
    names, may_stay = {mutant.name for mutant in mutants}, known.get("tests") == judges
    known["found"] = {name: dead for name, dead in known["found"].items() if name in names and (dead or may_stay)}
    known |= {"tests": judges, "day": date.today().isoformat(), "mutants": len(mutants)}

    def tell(mutant: Mutant, is_killed: bool) -> None:
        # From whichever fork: the file is what they share.
        known["found"] = (json.loads(memory.read_text()) if memory.exists() else known)["found"]
        known["found"][mutant.name] = is_killed
        memory.write_text(json.dumps(known, indent=1, ensure_ascii=False))
        print("." if is_killed else f"\n{module} survived: {mutant.name}", end="", flush=True, file=VOICE)

    MEMORY.mkdir(parents=True, exist_ok=True)
    memory.write_text(json.dumps(known, indent=1, ensure_ascii=False))
    if left := [mutant for mutant in mutants if mutant.name not in known["found"]]:
        print(f"\n{module}: {len(left)} of {len(mutants)} to try ", end="", flush=True, file=VOICE)
        tests = [*row["tests"], *(f"--deselect={test}" for test in row.get("but", []))]
        try_all(ROOT / module, tests, left, folder, tell)
    return dict(json.loads(memory.read_text()))


def complaints(module: str, found: dict[str, bool], reviewed: dict[str, str]) -> Iterator[str]:
    survivors = {name for name, is_killed in found.items() if not is_killed}
    yield from (f"{module}: nobody has reviewed {name}" for name in sorted(survivors - reviewed.keys()))
    yield from (f"{module}: reviewed, yet it does not survive: {name}" for name in sorted(reviewed.keys() - survivors))


def reviewed_of(row: dict[str, Any]) -> dict[str, str]:
    return {one["mutant"]: one["why"] for one in row.get("reviewed", [])}


def page(table: dict[str, Any]) -> Iterator[str]:
    """From what is remembered of all modules, so that it cannot claim what was not tried."""
    yield "# Mutants\n\nWritten by `make mutants`; do not edit. Each mutant is one small change of a module, and has "
    yield "to turn a test red.\nWhat survives is reviewed in `tests/mutants/table.toml`, or the run fails.\n\n"
    yield "| module | mutants | tried | killed | score | survivors | reviewed | last run |\n"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
    for module, row in table.items():
        if not memory_of(module).exists():
            yield f"| `{module}` | | not yet | | | | | |\n"
            continue
        run = json.loads(memory_of(module).read_text())
        n_tried, n_killed = len(run["found"]), sum(run["found"].values())
        score = f"{100 * n_killed // n_tried} %" if n_tried else ""
        survivors = {name for name, is_killed in run["found"].items() if not is_killed}
        n_reviewed = len(survivors & reviewed_of(row).keys())
        yield f"| `{module}` | {run['mutants']} | {n_tried} | {n_killed} | {score} | {len(survivors)} | {n_reviewed} "
        yield f"| {run['day']} |\n"
    for module, row in table.items():
        if reviewed := reviewed_of(row):
            yield f"\n## Reviewed survivors of `{module}`\n\n"
            yield from (f"- `{name}`: {why}\n" for name, why in reviewed.items())


def main(wanted: list[str]) -> int:
    os.chdir(ROOT)
    table = tomllib.loads(TABLE.read_text())
    if unknown := sorted(set(wanted) - table.keys()):
        sys.exit(f"Not in {TABLE.name}: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        os.environ |= {"TMPDIR": folder, "HYPOTHESIS_STORAGE_DIRECTORY": folder}
        os.environ.pop("TEST_DATABASE_URL", None)
        tempfile.tempdir = folder
        runs = {name: try_module(name, table[name], Path(folder)) for name in wanted or table}
    bad = [one for name, run in runs.items() for one in complaints(name, run["found"], reviewed_of(table[name]))]
    PAGE.write_text("".join(page(table)))
    print("", *bad, sep="\n")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

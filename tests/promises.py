"""What the desk promises, which test keeps each promise, and what the last run of it showed.

A test says `@pytest.mark.promise("I1", "I12")`; one with many rounds tells their number through the fixture `trials`,
else each of its cases is a trial. `pytest --promises-to FILE` keeps the results of a run, and
`python -m tests.promises` writes `docs/promises.md` from the kept runs, so that it cannot claim what did not run.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "var" / "promises"
PAGE = ROOT / "docs" / "promises.md"
DATABASES = ("SQLite", "PostgreSQL")

SECTIONS: dict[str, dict[str, str]] = {
    "Money": {
        "I1": "What refunds hold and have paid of a payment never exceeds what was captured by our own doing.",
        "I2": "What a gateway has paid back of a payment never exceeds what was captured.",
        "I3": "One approved refund is paid at most once, whatever crashes, repeats or is clicked twice.",
        "I4": "A refund that was sent ends without money only on evidence, and then no money has moved.",
        "I5": "Succeeded means that their words fit our payment, amount, currency and key.",
        "I6": "Amounts are whole minor units; what is written is read back as the same, and no float is near.",
        "I7": "Amount, payment and account of a refund never change after it was asked for.",
        "I8": "Only more than nothing, at most what is free, in the payment's currency can be asked back.",
    },
    "Sending and crashing": {
        "I9": "No byte leaves before the attempt is committed.",
        "I10": "All tries of one refund carry the same key and the same bytes.",
        "I11": "No transaction is open while a gateway is called.",
        "I12": "A refund has one open order at most; where a gateway takes one at a time, so has its payment.",
        "I13": "An unclear answer never becomes a failure and never frees the amount by itself.",
        "I14": "Nothing is sent again by itself where, or when, that could pay twice.",
        "I15": "Once faults end, every refund comes to rest or has called a person, once.",
        "I16": "A worker that slept past its lease neither sends nor decides.",
        "I17": "Tries are bounded, pauses grow, and Retry-After is obeyed within bounds.",
        "I18": "After an old backup was restored, nothing that may have been sent is sent again.",
    },
    "State and history": {
        "I19": "Only the listed transitions happen, and only through the services.",
        "I20": "What is over moves again only on the gateway's confirmed word.",
        "I21": "Every status and every sum is what its journal says.",
        "I22": "The journal cannot be changed or shortened, by whatever road.",
        "I23": "Any edit, removal, swap or truncation of the journal is found, and nothing else is.",
        "I24": "Each line says who, whence, when, from, to, why and in which act; no person can be deleted from it.",
        "I25": "Status, journal line and the next due moment are committed together.",
        "I26": "Nothing is ever deleted: refund, attempt, event, payment, delivery.",
    },
    "People": {
        "I27": "Nobody approves what they asked for, by whatever road, superusers included.",
        "I28": "What is approved is what was shown, and the approval is looked at once more when it is sent.",
        "I29": "A page that is no longer true decides nothing.",
        "I30": "Rights that were taken away are gone with the next request, and so are open sessions.",
        "I31": "Who makes the rules moves no money, and rules, limits and rights are changed by two people.",
        "I32": "Where two people are needed, two different people have agreed.",
        "I33": "Deciding about money takes a fresh proof of who one is, and no code of a second factor is taken twice.",
    },
    "Webhooks": {
        "I34": "A delivery that is not verified, or only knocks, changes nothing but when we ask.",
        "I35": "However often and at once it is delivered, it is as if once.",
        "I36": "Answer, webhooks and look-ups in any order lead to the same end.",
        "I37": "2xx means kept: delivery, deduplication and effect are one transaction.",
        "I38": "Account, payment, reference, amount and currency must fit, else nothing moves and a person is called.",
        "I39": "A webhook creates no refund; what is unknown waits in a list, and is matched later.",
        "I40": "Any bytes are answered with 2xx or 4xx, quickly and in little memory.",
        "I41": "A replay is harmless at any later time.",
    },
    "Surface": {
        "I42": "No secret and no card number is found in logs, rows, pages, exports, error reports or in a repr.",
        "I43": "One event is one line of the log, whatever strangers put into it.",
        "I44": "No cell of an exported file is a formula, whatever was typed into it.",
        "I45": "Calls go to the configured hosts alone, over verified TLS, and never into our own network.",
        "I46": "Each role meets on each screen, by each method and in each state, what the written matrix says.",
        "I47": "What lies outside a person's accounts appears nowhere and can be touched nowhere.",
        "I48": "Whatever fields are posted, only those that this person may change on that page change.",
        "I49": "Looking changes nothing; a post without our token or from elsewhere is refused, but for webhooks.",
        "I50": "Each login is a new session; it ends idle, in time, and with logout, switch-off or a new password.",
        "I51": "The shipped production settings pass every check, and settings that open a door are refused.",
        "I52": "Every package is pinned by its hash, and our own code is scanned.",
        "I55": "Every answer of every address carries the headers that keep scripts, frames and caches out.",
        "I56": "Where webhooks stand alone, nothing else is answered; a proxy's headers count from proxies alone.",
        "I57": "Stored text stays text on every page: no element, address or expression is made of it.",
    },
    "Clocks": {
        "I54": "A clock that jumps neither sends twice nor mixes up the order of what happened.",
    },
}
SENTENCES = {name: text for section in SECTIONS.values() for name, text in section.items()}


# --- While tests run ---


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises-to", metavar="FILE", help="keep what this run shows of the promises")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(*names): this test keeps these promises of tests/promises.py")
    config.pluginmanager.register(Keeper(config.getoption("--promises-to")), "promise-keeper")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = [name for mark in item.iter_markers("promise") for name in mark.args]
        if unknown := sorted(set(names) - set(SENTENCES)):
            raise pytest.UsageError(f"{item.nodeid} keeps promises that nobody made: {', '.join(unknown)}")
        if names:
            is_once = item.get_closest_marker("once") is not None
            item.user_properties += [("promises", names), ("uses the database", uses_database(item)), ("once", is_once)]


def uses_database(item: pytest.Item) -> bool:
    return bool(item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(item.fixturenames))


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Callable[[int], None]:
    """`trials(500)`: so many rounds were played; what goes wrong in one of them has to fail the test."""
    return lambda n_played: request.node.user_properties.append(("trials", n_played))


class Keeper:
    """Gathers the reports of one run, also those of other processes, and says at the end what was tried."""

    def __init__(self, file: str | None) -> None:
        self.file = Path(file) if file else None
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = dict(report.user_properties)
        if "promises" not in told or report.skipped or (report.when != "call" and report.passed):
            return
        name = report.nodeid.split("[", 1)[0]
        kept = {**{key: told[key] for key in ("promises", "uses the database", "once")}, "trials": 0, "failed": 0}
        row = self.tests.setdefault(name, kept)
        row["trials"] += sum(value for key, value in report.user_properties if key == "trials") or 1
        row["failed"] += report.failed

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.tests:
            return
        terminalreporter.section("promises: trials, failed tests")
        for name, row in sorted(self.tests.items()):
            terminalreporter.line(f"{row['trials']:>8} {row['failed']:>3}  {name}  ({', '.join(row['promises'])})")
        if self.file:
            database = DATABASES[bool(os.environ.get("TEST_DATABASE_URL"))]
            kept = {"database": database, "day": date.today().isoformat(), "tests": self.tests}
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(kept, indent=1, sort_keys=True))


# --- Afterwards ---


def runs() -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(RUNS.glob("*.json"))]


def results(kept: list[dict[str, Any]]) -> dict[str, dict[str, list[tuple[str, str, int, int]]]]:
    """Promise → test → (database, day, trials, failed); a test that needs none, or any, counts for both."""
    found: dict[str, dict[str, list[tuple[str, str, int, int]]]] = defaultdict(lambda: defaultdict(list))
    for run in kept:
        for test, row in run["tests"].items():
            for name in row["promises"]:
                any_will_do = f"{run['database']}, any will do" if row["once"] else run["database"]
                where = any_will_do if row["uses the database"] else "none needed"
                found[name][test].append((where, run["day"], row["trials"], row["failed"]))
    return found


def page(kept: list[dict[str, Any]]) -> Iterator[str]:
    found = results(kept)
    days = ", ".join(sorted({f"{run['database']} {run['day']}" for run in kept}))
    yield "# The promises\n\nWritten by the test run itself (`make test`); do not edit. "
    yield f"Runs: {days}.\nA test that did not run is not in here; its promise then has no line, and the build fails.\n"
    for section, sentences in SECTIONS.items():
        yield f"\n## {section}\n"
        for name, sentence in sentences.items():
            yield f"\n**{name}** {sentence}\n\n"
            if not found[name]:
                yield "*Nothing has shown it yet.*\n"
                continue
            yield "| test | database | trials | result |\n| --- | --- | ---: | --- |\n"
            for test, rows in sorted(found[name].items()):
                for database, _, n_trials, n_failed in sorted(rows):
                    result = "kept" if not n_failed else f"**broken** ({n_failed})"
                    yield f"| `{test.removeprefix('tests/')}` | {database} | {n_trials} | {result} |\n"


def gaps(kept: list[dict[str, Any]]) -> Iterator[str]:
    """What is missing for the page to be complete: each promise shown, on both where that matters, and no failure."""
    found = results(kept)
    for name in SENTENCES:
        rows = [row for test in found[name].values() for row in test]
        shown = {row[0] for row in rows}
        if not shown:
            yield f"{name} was not tried."
        elif "none needed" not in shown and shown & {*DATABASES}:
            yield from (f"{name} was not tried on {database}." for database in DATABASES if database not in shown)
        if any(n_failed for *_, n_failed in rows):
            yield f"{name} was broken."


def main() -> int:
    kept = runs()
    PAGE.write_text("".join(page(kept)))
    missing = list(gaps(kept))
    print(f"{PAGE.relative_to(ROOT)} is written.", *missing, sep="\n")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())

"""What we install is pinned by its hash, and what we wrote is scanned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import audit

ROOT = Path(__file__).resolve().parents[2]
FILES = ("requirements", "requirements-dev", "requirements-observability")
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]+\])?==([^\s;\\]+)")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(name: str) -> list[str]:
    """Each pinned package with its hashes and what wants it."""
    text = (ROOT / f"{name}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines).strip())


def pins(name: str) -> dict[str, str]:
    return {plain(found[1]): found[2] for block in blocks(name) if (found := PIN.match(block))}


def wanted(name: str) -> set[str]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / f"{name}.in").read_text().splitlines()]
    return {plain(re.split(r"[\[<>=!~; ]", line)[0]) for line in lines if line and not line.startswith("-")}


@pytest.mark.promise("I52")
@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned_with_its_hashes(name: str) -> None:
    for block in blocks(name):
        assert PIN.match(block), block
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block
    assert len(pins(name)) > 15


@pytest.mark.promise("I52")
@pytest.mark.parametrize("name", FILES)
def test_the_pins_are_in_step_with_what_we_ask_for(name: str) -> None:
    """Whoever adds a package and forgets `make lock`, or takes one out, is told here."""
    direct = {
        plain(PIN.match(block)[1])  # type: ignore[index]
        for block in blocks(name)
        if re.search(rf"# +via(?:\n +#)? +(?:.*\n +# +)*-r {name}\.in", block)
    }
    assert direct == wanted(name)


def test_the_tests_run_on_the_very_packages_that_production_gets() -> None:
    production, development = pins("requirements") | pins("requirements-observability"), pins("requirements-dev")
    assert production.items() <= development.items()
    assert pins("requirements").items() | pins("requirements-observability").items() == production.items()


@pytest.mark.parametrize("name", [f"{name}.{end}" for name in FILES for end in ("txt", "in")])
def test_no_file_names_a_place_to_download_from(name: str) -> None:
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|https?://|git\+", (ROOT / name).read_text())


@pytest.mark.promise("I52")
def test_our_own_code_is_scanned_and_clean() -> None:
    code, said = audit.run(audit.SCAN, 60)
    assert code == 0, said


def test_the_scan_finds_what_it_is_there_for(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import subprocess\nsubprocess.call('ls ' + input(), shell=True)\n")
    code, said = audit.run([*audit.SCAN[:5], str(tmp_path)], 60)
    assert code == 1
    assert "shell=True" in said


@pytest.mark.parametrize(
    ("code", "said", "result"),
    [
        (0, "No known vulnerabilities found", "clean"),
        (1, "Found 2 known vulnerabilities in 1 package", "weak"),
        (1, "asgiref: Dependency not found on PyPI and could not be audited: asgiref (3.13.0)", "unreachable"),
        (1, "requests.exceptions.ConnectionError: Max retries exceeded", "unreachable"),
        (1, "timed out", "unreachable"),
        (1, "django 5.2.1 GHSA-xxxx could not be audited", "weak"),
        (1, "something that nobody has foreseen", "weak"),
        (2, "usage: pip-audit", "weak"),
    ],
)
def test_what_an_audit_says_is_told_apart(code: int, said: str, result: str) -> None:
    assert audit.verdict(code, said) == result


@pytest.mark.parametrize("result", [(0, ""), (1, "timed out")])
def test_an_audit_that_reaches_nobody_says_so_and_goes_on(
    result: tuple[int, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "run", lambda command, seconds: (0, "") if command is audit.SCAN else result)
    assert audit.main() == 0
    assert ("THE PACKAGES WERE NOT AUDITED" in capsys.readouterr().out) == bool(result[0])


def test_a_weakness_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (1, "Found 1 known vulnerability in 1 package")
    monkeypatch.setattr(audit, "run", lambda command, seconds: (0, "") if command is audit.SCAN else found)
    assert audit.main() == 1
    monkeypatch.setattr(audit, "run", lambda command, seconds: (1, "Issue: ...") if command is audit.SCAN else (0, ""))
    assert audit.main() == 1


def test_the_build_runs_the_audit() -> None:
    lint = (ROOT / "Makefile").read_text().split("\nlint:")[1].split("\n\n")[0]
    assert "tests.audit" in lint or "audit" in lint.splitlines()[0]

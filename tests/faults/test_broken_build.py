"""The tests can fail: a desk that is broken on purpose turns the tests red that are named for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.broken import BUILDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", BUILDS)
def test_a_broken_build_turns_its_tests_red(name: str) -> None:
    tests = BUILDS[name].tests
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = {
        key: text for key, text in os.environ.items() if key not in ("TEST_DATABASE_URL", "PYTEST_XDIST_WORKER")
    }
    ran = subprocess.run(
        [*command, "-p", "tests.broken", "--broken", name, *tests],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    failed = re.findall(r"^FAILED (\S+)", ran.stdout, re.M)
    for test in tests:
        assert any(one.startswith(test) for one in failed), ran.stdout[-3000:] + ran.stderr[-1000:]
    assert "ERROR" not in re.findall(r"^(ERROR|FAILED)", ran.stdout, re.M)

"""`make audit`: scans our own code, and asks whether a pinned package has a known weakness.

The second needs the advisories of PyPI. Where they cannot be reached this says so loudly and goes on; what was found,
in our code or in theirs, ends it with 1.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARIES = Path(sys.executable).parent
SECONDS = 15
SCAN = ["bandit", "--quiet", "--recursive", "--severity-level", "medium", "gateways", "refunds", "refunds_site"]
ADVISORIES = [
    "pip-audit",
    "--strict",
    "--disable-pip",
    "--require-hashes",
    "--progress-spinner=off",
    "--timeout=5",
    "--requirement=requirements.txt",
]
# Words of pip-audit about a source that is not there; a weakness that was found is told in other ones.
UNREACHABLE = ("could not be audited", "ConnectionError", "Connection refused", "timed out", "Max retries", "503 ")
FOUND = ("known vulnerabilit", "Found 1 known", "GHSA-", "PYSEC-", "CVE-")


def run(command: list[str], seconds: int) -> tuple[int, str]:
    """Exit code and everything that was said; a command that takes too long has reached nobody."""
    name, *rest = command
    try:
        done = subprocess.run(
            [str(BINARIES / name), *rest], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, "timed out"
    return done.returncode, done.stdout + done.stderr


def verdict(code: int, said: str) -> str:
    """clean, weak or unreachable; anything else that goes wrong counts as weak, so that somebody looks."""
    if code == 0:
        return "clean"
    if any(word in said for word in FOUND):
        return "weak"
    return "unreachable" if any(word in said for word in UNREACHABLE) else "weak"


def main() -> int:
    code, said = run(SCAN, 60)
    if code:
        print(said)
        return 1
    print("bandit: no finding of medium or high severity in our own code.")
    code, said = run(ADVISORIES, SECONDS)
    result = verdict(code, said)
    if result == "clean":
        print("pip-audit: no known weakness in requirements.txt.")
    elif result == "weak":
        print(said)
        return 1
    else:
        print(f"{'!' * 100}\nTHE PACKAGES WERE NOT AUDITED: the advisories cannot be reached from here.")
        print(f"{said.strip().splitlines()[-1][:200]}\nRun `make audit` where PyPI can be reached.\n{'!' * 100}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

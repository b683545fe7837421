"""Where Chromium is for the browser tests; run as a script it tries to fetch one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "No Chromium: the browser tests did not run. Install chromium, or run `.venv/bin/playwright install chromium`."
)
LONGEST_FETCH = 300  # seconds


def find() -> str:
    """The path of a Chromium: on the PATH, or fetched by Playwright's installer; "" where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "") or _fetched()


def _fetched() -> str:
    home = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")
    found = sorted(home.glob("chromium-*/chrome-linux*/chrome")) + sorted(
        home.glob("chromium-*/chrome-mac*/*/*/MacOS/*")
    )
    return str(found[-1]) if found else ""


def main() -> None:
    if find():
        return
    try:
        command = [sys.executable, "-m", "playwright", "install", "chromium"]
        subprocess.run(command, timeout=LONGEST_FETCH, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        print(MISSING, file=sys.stderr)


if __name__ == "__main__":
    main()

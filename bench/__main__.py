"""`make bench`: measure, keep the figures in var/bench, and write the tables of docs/performance.md anew."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from typing import Any

from bench import bulk, ground, ingest, pages, report, workers

KEPT = ground.ROOT / "var" / "bench"
PARTS = {
    "webhooks": ingest.run,
    "sending": lambda _server: workers.run(),  # on servers of its own
    "pages": pages.run,
    "bulk": bulk.run,
}


def main() -> None:
    asked = sys.argv[1:] or list(PARTS)
    if unknown := set(asked) - {*PARTS, "report"}:
        sys.exit(f"{', '.join(sorted(unknown))}? There is: {', '.join(PARTS)}.")
    KEPT.mkdir(parents=True, exist_ok=True)
    with ground.databases() as server:
        for part in PARTS:
            if part in asked:
                print(f"--- {part}", flush=True)
                found = {"ran on": machine(server), "found": PARTS[part](server)}
                (KEPT / f"{part}.json").write_text(json.dumps(found, indent=1))
        for size in pages.SIZES:
            if "BENCH_KEEP" not in os.environ:
                server.drop(f"bench_{size}")
    report.write({file.stem: json.loads(file.read_text()) for file in KEPT.glob("*.json")})


def machine(server: ground.Databases) -> str:
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"PostgreSQL {server.version()}, load {load:.1f} before, commit {_commit()}"
    )


def _commit() -> str:
    said: Any = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ground.ROOT, capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()

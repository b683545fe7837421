"""The tables of docs/performance.md, and the plans beside it; the words around them are written by people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench import ground, pages

PAGE = ground.ROOT / "docs" / "performance.md"
PLANS = ground.ROOT / "docs" / "plans.md"
BEGINS, ENDS = "<!-- measured: {} -->", "<!-- end -->"


def write(parts: dict[str, Any]) -> None:
    """Put what was measured where the page has room for it; what was not measured stays as it is."""
    text = PAGE.read_text()
    for name, told in parts.items():
        lines = "\n".join([f"*{told['ran on']}*", "", *TABLES[name](told["found"])])
        begins, ends = re.escape(BEGINS.format(name)), re.escape(ENDS)
        room = re.compile(rf"({begins}\n).*?({ends})", re.DOTALL)
        text = room.sub(lambda found, lines=lines: f"{found[1]}{lines}\n{found[2]}", text)
    PAGE.write_text(text)
    if "pages" in parts:
        PLANS.write_text(plans(parts["pages"]["found"]))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    cells = [list(head), ["---", *["---:"] * (len(head) - 1)], *(list(map(str, row)) for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells]


def webhooks(found: dict[str, Any]) -> list[str]:
    one, all_of_it = found["one INSERT"], found["webhook"]["per second"]
    rows = [
        (name, f"{told['per second']:.0f}", f"{all_of_it / told['per second']:.2f}", *_times(told))
        for name, told in found.items()
        if told
    ]
    assert one
    return table(("", "per second", "webhook : this", "p50 ms", "p99 ms", "p99 : p50"), rows)


def _times(told: dict[str, float]) -> tuple[str, str, str]:
    if "p50 ms" not in told:
        return "", "", ""
    p50, p99 = told["p50 ms"], told["p99 ms"]
    return f"{p50:.1f}", f"{p99:.1f}", f"{p99 / p50:.1f}"


def sending(found: dict[str, Any]) -> list[str]:
    head = ("", "refunds per second", "of threads / latency", "MB", "CPU ms per refund")
    rows = [
        (
            f"{case['database']}, {case['processes']} of {case['threads']} threads",
            f"{case['per_second']:.1f}",
            f"{case['of_the_limit']:.0%}",
            f"{case['memory_mb']:.0f}",
            ", ".join(f"{name} {ms:.1f}" for name, ms in case["cpu_ms"].items()),
        )
        for case in found["cases"]
    ]
    return table(head, rows)


def of_pages(found: dict[str, Any]) -> list[str]:
    sizes = [str(size) for size in found["sizes"]]
    head = ("p50 ms", *(f"{int(size):,}" for size in sizes), "largest : smallest")
    rows = [
        (name, *(f"{took[size]:.0f}" for size in sizes), f"{took[sizes[-1]] / took[sizes[0]]:.2f}")
        for name, took in found["p50 ms"].items()
    ]
    return table(head, rows)


def bulk(found: dict[str, Any]) -> list[str]:
    lines = []
    for name, told in found.items():
        said = ", ".join(f"{what} {figure:,.0f}" for what, figure in told.items())
        lines.append(f"- {name}: {said}")
    return lines


def plans(found: dict[str, Any]) -> str:
    told = [
        "# How the pages are answered",
        "",
        f"Written by `make bench`: the two slowest questions of each page at {found['sizes'][-1]:,} refunds, and how",
        "PostgreSQL carried them out.",
        "What to look for: an index in each, and `rows=` that stay small.",
    ]
    for name, of_page in found["plans"].items():
        told += ["", f"## {name}", "", f"`{pages.PAGES[name][1]}`"]
        for plan in of_page:
            told += ["", "```", plan, "```"]
    return "\n".join(told) + "\n"


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "webhooks": webhooks,
    "sending": sending,
    "pages": of_pages,
    "bulk": bulk,
}

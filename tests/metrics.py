"""The table of metrics in docs/observability.md: `python -m tests.metrics` writes it from the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from refunds.metrics.catalog import METRICS, PREFIX, Metric

PAGE = Path(__file__).resolve().parent.parent / "docs" / "observability.md"
BEGIN, END = "<!-- metrics: written by python -m tests.metrics -->\n", "<!-- end of metrics -->\n"


def full_name(metric: Metric) -> str:
    return f"{PREFIX}{metric.name}" + ("_total" if metric.kind == "counter" else "")


def table() -> str:
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield "| Metric | Kind | Labels | Meaning |\n| --- | --- | --- | --- |\n"
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{full_name(metric)}` | {metric.kind} | {labels} | {metric.help} |\n"


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.name} is written.")

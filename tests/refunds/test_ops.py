"""What docs/ops hands out fits what the desk really tells: dashboard, alert rules, the page about both."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from refunds import history
from refunds.metrics import page, tallies
from refunds.metrics.catalog import METRICS, PREFIX
from tests.builders import ask, bob, make_delivery, make_sign
from tests.metrics import PAGE, full_name
from tests.metrics import page as page_as_it_should_be

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "docs" / "ops"
PROMTOOL = shutil.which("promtool")
with_promtool = pytest.mark.skipif(
    not PROMTOOL, reason="promtool is not installed (on Debian: apt-get install prometheus)"
)
# What alerts may name beside our own: what Prometheus itself knows of a target.
NOT_OURS = {"up"}
USED = re.compile(rf"\b({PREFIX}\w+)(?:\{{([^}}]*)\}})?")
Told = dict[str, set[str]]


@pytest.fixture
def scrape(db: None) -> str:
    """All metrics, of a desk at which something has happened."""
    tallies.count()
    refund = ask()
    bob()
    make_delivery(refund.account)
    make_sign()
    history.set_checkpoint()
    tallies.count()
    return page.generate_latest(page._registry()).decode()


@pytest.fixture
def told(scrape: str) -> Told:
    """The labels of each series, by its name."""
    found: Told = {}
    for family in text_string_to_metric_families(scrape):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[str]:
    """All that dashboard and alerts ask for."""
    dashboard = json.loads((OPS / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked += [variable["query"] for variable in dashboard["templating"]["list"]]
    return asked + re.findall(r"expr: (?:\|\n)?((?:.+\n(?:\s{10,}.+\n)*))", (OPS / "alerts.yml").read_text())


def alerts() -> dict[str, str]:
    """Each alert's name with its runbook."""
    rules = (OPS / "alerts.yml").read_text().split("- alert: ")[1:]
    return {rule.split()[0]: re.search(r"runbook: (\S+)", rule)[1] for rule in rules}  # type: ignore[index]


def test_every_metric_of_the_catalogue_is_told_as_what_it_is(scrape: str, told: Told) -> None:
    for metric in METRICS:
        name = full_name(metric)
        assert f"# TYPE {name} {metric.kind}\n" in scrape
        assert f"# HELP {name} {metric.help}\n" in scrape
        series = f"{name}_bucket" if metric.kind == "histogram" else name
        assert told[series] - {"le"} == set(metric.labels), name


def test_names_keep_to_the_conventions() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
        assert "total" not in metric.name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|days|percent)\b", metric.name)
        assert metric.help.endswith(".")
        assert set(metric.labels) <= {"account", "mode", "status", "kind", "outcome", "result", "why", "standing"}


def test_dashboard_and_alerts_ask_only_for_what_is_told(told: Told) -> None:
    asked = [found for text in expressions() for found in USED.findall(text)]
    assert len({name for name, _labels in asked}) > 30
    assert {name for name, _labels in asked} <= set(told)
    for name, labels in asked:
        named = set(re.findall(r"(\w+)=~?", labels))
        assert named <= told[name], (name, labels)
    grouped = [
        (words, text)
        for text in expressions()
        for words in re.findall(r"by \(([^)]*)\)", text)
        if not {word.strip() for word in words.split(",")} <= set().union(*(told[n] for n, _ in USED.findall(text)))
    ]
    assert grouped == []


def test_every_metric_is_of_use_to_somebody() -> None:
    asked = " ".join(expressions())
    assert [full_name(metric) for metric in METRICS if PREFIX + metric.name not in asked] == []


def test_the_page_lists_every_metric() -> None:
    assert PAGE.read_text() == page_as_it_should_be(), "python -m tests.metrics"


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    sections = re.findall(r"^### (RefundDesk\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sections == list(alerts())
    for name, runbook in alerts().items():
        assert runbook == f"docs/observability.md#{name.lower()}"


def run(*words: str, told: str = "") -> None:
    done = subprocess.run([str(PROMTOOL), *words], input=told, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@with_promtool
def test_prometheus_itself_reads_the_rules_and_they_ring_when_they_should() -> None:
    run("check", "rules", "docs/ops/alerts.yml")
    run("test", "rules", "tests/ops/alerts_test.yml")


@with_promtool
def test_prometheus_itself_reads_the_metrics_without_a_complaint(scrape: str) -> None:
    run("check", "metrics", told=scrape)


def test_the_dashboard_names_no_database_of_ours() -> None:
    dashboard: dict[str, Any] = json.loads((OPS / "grafana-dashboard.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"] if panel["type"] != "row"} == {"${source}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])

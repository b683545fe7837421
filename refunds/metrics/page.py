"""The page that Prometheus reads: all metrics as text, read once every few seconds however many ask."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate, product

from django.core.cache import cache
from django.db import connection, transaction
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from refunds.metrics import now
from refunds.metrics.catalog import METRICS, PREFIX, Metric
from refunds.metrics.tallies import BEYOND, BOUNDS, LOST
from refunds.models import Account, Attempt, Delivery, Status, Tally

FRESH, STALE = 5, 60  # seconds: read anew after the first; until the second an old text is better than none
LONGEST_READ = 20  # seconds, after which another process may try
LONGEST_QUERY = "5s"
KEPT, BUSY = "metrics", "metrics-busy"

# The words that a counter may have, so that each series begins with 0 and its first rise is seen.
ATTEMPT_OUTCOMES = [*(word for word in Attempt.Outcome.values if word != Attempt.Outcome.OPEN), LOST]
WORDS: dict[str, list[tuple[str, ...]]] = {
    "move": [(status,) for status in Status.values],
    "approval": [()],
    "settlement": [()],
    "attempt": list(product(Attempt.Kind.values, ATTEMPT_OUTCOMES)),
    "call": [(kind,) for kind in Attempt.Kind.values],
    "delivery": [(result,) for result in Delivery.Result.values],
}


def text() -> bytes | None:
    """All metrics in Prometheus' text format, not older than a minute; None while nobody could read them."""
    kept, is_from = cache.get(KEPT) or ("", 0.0)
    if time.time() - is_from < FRESH:
        return kept.encode()
    if not cache.add(BUSY, "y", timeout=LONGEST_READ):
        return kept.encode() if kept else None
    try:
        told = generate_latest(_registry())
        cache.set(KEPT, (told.decode(), time.time()), timeout=STALE)
    finally:
        cache.delete(BUSY)
    return told


def _registry() -> CollectorRegistry:
    """One of its own: nothing that other code registers gets out by this door."""
    registry = CollectorRegistry()
    registry.register(Desk())
    return registry


class Desk(Collector):
    """Reads everything from the database each time it is asked."""

    def describe(self) -> Iterable[Family]:
        return []  # or else registering it would read everything

    @transaction.atomic
    def collect(self) -> Iterator[Family]:
        began = time.monotonic()
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{LONGEST_QUERY}'")
        fields = ("pk", "slug", "mode")
        accounts: now.Labels = {pk: tuple(words) for pk, *words in Account.objects.values_list(*fields)}
        found: dict[str, list[now.Sample]] = defaultdict(list)
        for sample in now.samples(accounts):
            found[sample[0]].append(sample)
        found["read_timestamp_seconds"].append(("", (), timezone.now().timestamp()))
        tallies = _tallies()
        found["read_seconds"].append(("", (), time.monotonic() - began))
        return iter([_family(metric, found[metric.name], accounts, tallies) for metric in METRICS])


Tallies = dict[tuple[str, int, str], tuple[int, int]]


def _tallies() -> Tallies:
    fields = ("name", "account", "words", "number", "milliseconds")
    return {(name, pk, words): (n, ms) for name, pk, words, n, ms in Tally.objects.order_by().values_list(*fields)}


def _family(metric: Metric, samples: list[now.Sample], accounts: now.Labels, tallies: Tallies) -> Family:
    name, help = PREFIX + metric.name, metric.help
    if metric.kind == "gauge":
        gauge = GaugeMetricFamily(name, help, labels=metric.labels)
        for _name, labels, value in samples:
            gauge.add_metric(labels, value)
        return gauge
    many = ((pk, labels, words) for pk, labels in accounts.items() for words in WORDS[metric.tally])
    if metric.kind == "counter":
        counter = CounterMetricFamily(name, help, labels=metric.labels)
        for pk, labels, words in many:
            number, _ms = tallies.get((metric.tally, pk, " ".join(words)), (0, 0))
            counter.add_metric([*labels, *words], number)
        return counter
    histogram = HistogramMetricFamily(name, help, labels=metric.labels)
    bounds = (*BOUNDS[metric.tally], BEYOND)
    for pk, labels, words in many:
        found = [tallies.get((metric.tally, pk, " ".join((*words, bound))), (0, 0)) for bound in bounds]
        up_to = accumulate(number for number, _ms in found)
        thousandths = sum(ms for _number, ms in found)
        histogram.add_metric([*labels, *words], list(zip(bounds, up_to, strict=True)), thousandths * 0.001)
    return histogram

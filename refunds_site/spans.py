"""How spans fit the desk: a trace bears the name of its origin, and only picked attributes leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, SamplingResult, TraceIdRatioBased

from refunds import correlation
from refunds_site.telemetry import picked


class ActsAsTraces(RandomIdGenerator):
    """A click and all the jobs that follow from it are one trace, under the very id that the log has for them."""

    def generate_trace_id(self) -> int:
        return int(correlation.origin() or "0", 16) or super().generate_trace_id()


class Silent(TextMapPropagator):
    """Nobody outside names our traces, and no gateway is told of them: an order has the headers it is signed for."""

    fields: set[str] = set()

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        return get_current() if context is None else context

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        return None


class Named(SpanProcessor):
    """Each span says in which act it happened, and about what."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.set_attributes({"act": correlation.current(), **correlation.what_about()})


class OfActs(TraceIdRatioBased):
    """Only what happens in an act is worth a trace, not the poller's endless questions; an origin is kept wholly."""

    def should_sample(self, *arguments: Any, **named: Any) -> SamplingResult:
        return super().should_sample(*arguments, **named) if correlation.current() else SamplingResult(Decision.DROP)


class Picked(SpanExporter):
    """Hands on what may leave."""

    def __init__(self, exporter: SpanExporter) -> None:
        self.exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self.exporter.export([_of(span) for span in spans])

    def shutdown(self) -> None:
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.exporter.force_flush(timeout_millis)


def _of(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=_name_of(span),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=picked(span.attributes),
        events=[Event(event.name, picked(event.attributes), event.timestamp) for event in span.events],
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=type(span.status)(span.status.status_code),  # without its text, which is an exception's
        start_time=span.start_time,
        end_time=span.end_time,
    )


def _name_of(span: ReadableSpan) -> str:
    """A query is called by its verb; all other names are routes, methods and our own words."""
    return span.name.split(" ", 1)[0] if "db.system" in (span.attributes or {}) else span.name

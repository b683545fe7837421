"""Traces to an OpenTelemetry collector and errors to Sentry, where the settings name one. Off, nothing is imported.

What leaves is picked, not weeded: of a span a few named attributes, of an error its kind and where in our code it
happened. Texts, addresses, queries, values and people stay here; the log has them under the same act.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from django.conf import settings

from refunds import correlation
from refunds_site.logs import plain, without_secrets

log = logging.getLogger(__name__)

NEEDED = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": (
        "opentelemetry.sdk",
        "opentelemetry.exporter.otlp.proto.http",
        "opentelemetry.instrumentation.django",
        "opentelemetry.instrumentation.psycopg",
        "opentelemetry.instrumentation.sqlite3",
        "opentelemetry.instrumentation.urllib3",
    ),
    "SENTRY_DSN": ("sentry_sdk",),
}
SERVICE = "refund-desk"
# Of a span: what was done and where to, never with which values.
KEPT = (
    *("http.method", "http.request.method", "http.route", "http.status_code", "http.response.status_code"),
    *("db.system", "db.system.name", "server.address", "net.peer.name", "error.type", "exception.type"),
    *("act", "origin", "refund", "account"),
)
ABOUT = ("refund", "account")
_started: set[str] = set()


def missing(setting: str) -> list[str]:
    """The packages that this setting needs and that are not installed."""
    return [name for name in NEEDED[setting] if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even what stands around it
        return False


def start() -> None:
    """Once in each process that serves or works, after it was forked and before it takes requests."""
    for setting, begin in (("OTEL_EXPORTER_OTLP_ENDPOINT", _begin_traces), ("SENTRY_DSN", _begin_errors)):
        if getattr(settings, setting) and setting not in _started and not missing(setting):
            _started.add(setting)
            begin()


# --- Traces ---


def _begin_traces() -> None:
    from opentelemetry import propagate, trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
    from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
    from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from refunds_site.spans import ActsAsTraces, Named, OfActs, Picked, Silent

    headers = dict(part.strip().split("=", 1) for part in settings.OTEL_EXPORTER_OTLP_HEADERS.split(",") if part)
    exporter = OTLPSpanExporter(f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces", headers=headers, timeout=5)
    provider = TracerProvider(
        resource=Resource({"service.name": SERVICE}),
        id_generator=ActsAsTraces(),
        sampler=OfActs(settings.TRACES_KEPT),
    )
    for processor in (Named(), BatchSpanProcessor(Picked(exporter))):
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    propagate.set_global_textmap(Silent())
    # Behind the middleware that begins the act, which gives the trace its name.
    DjangoInstrumentor().instrument(tracer_provider=provider, middleware_position=1)
    for instrumentor in (PsycopgInstrumentor, SQLite3Instrumentor, URLLib3Instrumentor):
        instrumentor().instrument(tracer_provider=provider)
    tracer = provider.get_tracer(SERVICE)

    @contextmanager
    def span(name: str) -> Iterator[object]:
        with tracer.start_as_current_span(name) as found:
            yield found

    correlation.trace_with(span)


def picked(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of a span's attributes those that may leave."""
    named = {name: value for name, value in (attributes or {}).items() if name in KEPT}
    return {name: _clean(value) if isinstance(value, str) else value for name, value in named.items()}


# --- Errors ---


def _begin_errors() -> None:
    import sentry_sdk

    sentry_sdk.init(
        settings.SENTRY_DSN,
        before_send=leaving,
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        trace_propagation_targets=[],  # or else gateways would get its headers with every order
        traces_sample_rate=None,
        auto_session_tracking=False,
        send_client_reports=False,
        server_name="",
    )


def leaving(event: Any, hint: Any = None) -> Any:
    """Of an error report: its kind, its frames without values, our act. The message is in the log, under that act."""
    act, about = correlation.current(), correlation.what_about()
    tags = {"act": act, "origin": correlation.origin(), **{name: about[name] for name in ABOUT if name in about}}
    report = {name: event[name] for name in ("event_id", "timestamp", "level", "platform", "logger") if name in event}
    report["tags"] = {name: _clean(text) for name, text in tags.items() if text}
    if "transaction" in event:
        report["transaction"] = _clean(str(event["transaction"]))
    if template := (event.get("logentry") or {}).get("message"):
        report["logentry"] = {"message": _clean(str(template)), "params": []}
    if raised := (event.get("exception") or {}).get("values"):
        report["exception"] = {"values": [_raised(one) for one in raised]}
    return report


FRAME = ("filename", "abs_path", "function", "module", "lineno", "in_app")


def _raised(one: Mapping[str, Any]) -> dict[str, Any]:
    frames: Sequence[Mapping[str, Any]] = (one.get("stacktrace") or {}).get("frames") or []
    told = [{name: frame[name] for name in FRAME if name in frame} for frame in frames]
    kind = {name: one[name] for name in ("type", "module") if name in one}
    return {**kind, "value": "", "stacktrace": {"frames": told}}


def _clean(text: str) -> str:
    return plain(without_secrets(text))[:200]

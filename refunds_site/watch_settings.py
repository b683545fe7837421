"""The settings of those who watch the desk: metrics, traces, error reports."""

from __future__ import annotations

from refunds_site.environment import ENV

# What may be secret is read past the reader's casts, as SECRET_KEY.

# Whoever has it reads /metrics and the ages in /statusz; without one there are no metrics.
METRICS_TOKEN = str(ENV.ENVIRON.get("METRICS_TOKEN", "")).strip()

# Where traces go, like http://127.0.0.1:4318, and the header that lets us in there: name=value, several with commas.
OTEL_EXPORTER_OTLP_ENDPOINT = str(ENV.ENVIRON.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")).strip().rstrip("/")
OTEL_EXPORTER_OTLP_HEADERS = str(ENV.ENVIRON.get("OTEL_EXPORTER_OTLP_HEADERS", "")).strip()
# Of how many traces one is kept: 1 is all of them, 0.1 a tenth.
TRACES_KEPT = ENV.float("TRACES_KEPT", default=1.0)

# Where errors go.
SENTRY_DSN = str(ENV.ENVIRON.get("SENTRY_DSN", "")).strip()

"""Every metric there is: its name, kind, labels and meaning. docs/observability.md shows this very table."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "refund_desk_"
ACCOUNT = ("account", "mode")


@dataclass(frozen=True)
class Metric:
    """`name` without the prefix; a counter's ends in _total when it is told, seconds are seconds, times are UTC.

    `tally` names what a counter or histogram is counted under.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    tally: str = ""


def gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, help)


METRICS = (
    # --- Refunds as they stand now ---
    gauge("refunds", "Refunds that are not at their end, by status.", *ACCOUNT, "status"),
    gauge("oldest_refund_seconds", "Since the oldest of them was requested.", *ACCOUNT, "status"),
    gauge("refunds_due", "Refunds to be sent or looked up at this moment.", *ACCOUNT),
    gauge("due_late_seconds", "How late the one is that has been due longest; 0: none is.", *ACCOUNT),
    gauge("refunds_overdue", "Too long at the gateway, or due for an hour and asked by nobody.", *ACCOUNT),
    gauge("refunds_needing_attention", "Refunds that call for a person.", *ACCOUNT),
    gauge("payments_over_committed", "Payments of which more is refunded or spoken for than was captured.", *ACCOUNT),
    gauge("unmatched_refunds", "Refunds that a gateway shows and nobody has claimed.", *ACCOUNT),
    # --- What has happened since counting began ---
    Metric("moves", "counter", (*ACCOUNT, "status"), "Refunds that have come to this status.", tally="move"),
    Metric("approval_seconds", "histogram", ACCOUNT, "From the request to the last approval.", tally="approval"),
    Metric("settlement_seconds", "histogram", ACCOUNT, "From sending to the final word.", tally="settlement"),
    Metric("attempts", "counter", (*ACCOUNT, "kind", "outcome"), "Exchanges about one refund.", tally="attempt"),
    Metric("call_seconds", "histogram", (*ACCOUNT, "kind"), "Attempts that were answered.", tally="call"),
    Metric(
        "deliveries", "counter", (*ACCOUNT, "result"), "Verified webhooks, by what became of them.", tally="delivery"
    ),
    gauge(
        "refused_knocks_last_day", "Webhooks that were not let in within some 24 hours; it falls, too.", *ACCOUNT, "why"
    ),
    # --- Accounts ---
    gauge("account_paused", "1 while a person has paused it.", *ACCOUNT),
    gauge("account_breaker_open", "1 while nothing is sent because calls brought no answer.", *ACCOUNT),
    gauge("account_accidents", "Calls in a row that brought no answer.", *ACCOUNT),
    # --- The machinery ---
    gauge("jobs", "Jobs by standing: ready, later, running, and failed within a day.", "standing"),
    gauge("oldest_ready_job_seconds", "How long the job waits that has been ready longest."),
    gauge("workers", "Worker processes that have polled within two minutes."),
    gauge("worker_threads", "Their threads."),
    gauge("worker_threads_busy", "Those of them that were at work when they last said so."),
    gauge("last_poll_timestamp_seconds", "When a worker last looked for jobs; 0: no sign of any."),
    gauge("last_sweep_timestamp_seconds", "When a worker last swept; 0: no sign of it."),
    gauge("notices_due", "Notices that wait to be sent."),
    gauge("notices_given_up", "Notices that could not be sent in 12 tries, of the last 90 days."),
    gauge("last_checkpoint_timestamp_seconds", "When the history was last sealed; 0: never."),
    gauge("unsealed_seconds", "Age of the oldest journal line that no checkpoint covers; 0: all are covered."),
    gauge("last_verification_timestamp_seconds", "When the history was last verified; 0: never."),
    gauge("last_verification_findings", "What that verification found."),
    gauge("read_timestamp_seconds", "When all these values were read from the database."),
    gauge("read_seconds", "How long reading them took."),
)

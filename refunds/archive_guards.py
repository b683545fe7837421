"""Guards around archives: what may leave the database because an archive has it, and what makes it an archive."""

from __future__ import annotations

from refunds.guard_sql import Guard
from refunds.history.kept import OF_THE_FILE
from refunds.models.refund import HOLDING

SAME_REFUND = '({0}.refund_id = {1}."refund_id" OR ({0}.refund_id IS NULL AND {1}."refund_id" IS NULL))'
HOLDS = ", ".join(f"'{status}'" for status in sorted(HOLDING))

# A row of these leaves only once an archive has it; a send never leaves, since it keeps us from paying twice.
UNLESS_ARCHIVED = {
    "event": (
        "NOT EXISTS (SELECT 1 FROM refunds_archivedchain AS kept "  # nosec B608: our own words, as everywhere here
        f'WHERE kept.payment_id = OLD."payment_id" AND {SAME_REFUND.format("kept", "OLD")} '
        'AND OLD."sequence" BETWEEN kept.first_sequence AND kept.last_sequence AND OLD."id" <= kept.last_event)'
    ),
    "attempt": (
        """OLD."kind" = 'send' OR OLD."outcome" = 'open' OR NOT EXISTS (SELECT 1 FROM refunds_archivedchain AS kept """
        'WHERE kept.refund_id = OLD."refund_id" AND OLD."id" <= kept.last_attempt)'
    ),
    "delivery": (
        "NOT EXISTS (SELECT 1 FROM refunds_archiveddelivery AS kept "
        'WHERE kept.number = OLD."id" AND kept.account_id = OLD."account_id" AND kept.digest = OLD."digest")'
    ),
}
KEPT = ("archivedchain", "archivedlines", "archiveddelivery")
FROZEN = (*OF_THE_FILE, "digest")  # whatever the seal covers

ARCHIVE_GUARDS = (
    *(
        Guard(f"guard_{table}_no_update", f"refunds_{table}", "UPDATE", "What an archive left here is never rewritten.")
        for table in KEPT
    ),
    Guard(
        "guard_archivedchain_is_what_was_written",
        "refunds_archivedchain",
        "INSERT",
        "An archive has to end with the line that was written.",
        'NOT EXISTS (SELECT 1 FROM refunds_event AS line WHERE line.id = NEW."last_event" '  # nosec B608
        f'AND line.payment_id = NEW."payment_id" AND {SAME_REFUND.format("line", "NEW")} '
        'AND line.sequence = NEW."last_sequence" AND line.digest = NEW."digest" AND line.to_status = NEW."status")',
    ),
    Guard(
        "guard_archivedchain_is_sealed",
        "refunds_archivedchain",
        "INSERT",
        "Only what a checkpoint has sealed is archived.",
        'NOT EXISTS (SELECT 1 FROM refunds_checkpoint AS seal WHERE seal.last_event >= NEW."last_event")',
    ),
    Guard(
        "guard_archivedchain_is_over",
        "refunds_archivedchain",
        "INSERT",
        "A payment is archived once all its refunds are over.",
        'EXISTS (SELECT 1 FROM refunds_refund AS other WHERE other.payment_id = NEW."payment_id" '  # nosec B608
        f"AND other.status IN ({HOLDS}))",
    ),
)

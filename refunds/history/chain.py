"""One line's digest, which covers the line and the digest before it. Changing this breaks every chain there is."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

# What a digest covers; the order is part of the format.
COVERED = (
    "payment_id",
    "refund_id",
    "sequence",
    "step",
    "from_status",
    "to_status",
    "actor",
    "actor_user_id",
    "source",
    "at",
    "text",
    "data",
    "heard",
    "correlation",
)


def link(event: Any, previous: str) -> str:
    """SHA-256 of all that the line says and of the digest of the line before it in its chain ("" for the first).

    A chain is one refund's lines, or one payment's own.
    """
    said = [previous, *(getattr(event, name) for name in COVERED)]
    # Sorted, since a database may keep an object's names in an order of its own.
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_moment)
    return hashlib.sha256(text.encode()).hexdigest()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")

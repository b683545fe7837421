"""One line's digest, which covers the line and the digest before it. Changing this breaks every chain there is."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC
from typing import Any


def link(event: Any, previous: str) -> str:
    """SHA-256 of all that the line says and of the digest of the line before it in its chain ("" for the first).

    A chain is one refund's lines, or one payment's own; the order of the fields is part of the format.
    """
    said = [
        previous,
        event.payment_id,
        event.refund_id,
        event.sequence,
        event.step,
        event.from_status,
        event.to_status,
        event.actor,
        event.actor_user_id,
        str(event.source),
        event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        event.text,
        event.data,
        event.heard,
        event.correlation,
    ]
    # Sorted, since a database may keep an object's names in an order of its own.
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

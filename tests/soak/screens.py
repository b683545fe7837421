"""The gateways' own screens, as people see them: what the sandbox's ledger says of one refund."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

PAYMENT = re.compile(r'/admin/refunds/payment/(\d+)/change/">([^<]+)</a>')
AMOUNT = re.compile(r'<h2 class="desk-amount">([\d,]+)\.(\d\d)')
SHOWN = """
SELECT reference, (SELECT COALESCE(SUM(CASE kind WHEN 'refund' THEN 1 ELSE -1 END), 0) FROM movement
                   WHERE movement.gateway = refund.gateway AND movement.key = refund.key) AS moved
FROM refund WHERE gateway = ? AND payment = ? AND minor = ? AND is_executed ORDER BY moved DESC, created_at DESC
"""


@dataclass(frozen=True)
class Screens:
    """`gateways` is which gateway took a payment, by the payment's number at the desk."""

    ledger: Path
    gateways: dict[int, str]

    def reference_of(self, page: str) -> str:
        """What a person types in who has found the refund of this page there; "" when it is not there."""
        found = self._shown(page)
        return found[0][0] if found else ""

    def what_became_of(self, page: str, by_hand: dict[str, str]) -> dict[str, str]:
        """What an honest person declares; of a transfer by hand, only that person knows."""
        if self._gateway(page) == "manual":
            return by_hand
        found = self._shown(page)
        if found and found[0][1] > 0:
            return {"outcome": "succeeded", "reference": found[0][0]}
        return {"outcome": "failed"}

    def _gateway(self, page: str) -> str:
        named = PAYMENT.search(page)
        return self.gateways.get(int(named[1]), "") if named else ""

    def _shown(self, page: str) -> list[tuple[str, int]]:
        named, amount = PAYMENT.search(page), AMOUNT.search(page)
        if not named or not amount:
            return []
        minor = int(amount[1].replace(",", "") + amount[2])
        with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True, timeout=10)) as ledger:
            return ledger.execute(SHOWN, (self._gateway(page), named[2], minor)).fetchall()

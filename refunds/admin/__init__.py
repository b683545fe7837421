"""The desk's screens, one file each. They show, ask and call services; nothing here writes a status."""

from refunds.admin import accounts, deliveries, payments, people, reasons, refunds

__all__ = ["accounts", "deliveries", "payments", "people", "reasons", "refunds"]

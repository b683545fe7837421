"""Who works at the desk in a soak, where each looks for work, and how gladly each presses which button."""

from __future__ import annotations

PASSWORD = "a-password-of-the-soak-8273"
STAFF = {
    "alice": "Agents",
    "anna": "Agents",
    "abel": "Agents",
    "bob": "Approvers",
    "ben": "Approvers",
    "bea": "Approvers",
    "dora": "Finance",
    "erik": "Finance",
}
# Where each group looks for work, and how gladly it presses each button.
LISTS = {
    "Agents": ("?for_me=asked", "?for_me=returned", "?status__exact=failed", "?status__exact=processing"),
    "Approvers": ("?for_me=decide", "?for_me=decide", "?status__exact=approved", ""),
    "Finance": ("?status__exact=unknown", "?attention=needed", "?status__exact=processing"),
}
PAUSES = {"Agents": 1.0, "Approvers": 0.1, "Finance": 0.4}  # seconds between two thoughts, at most
BUTTONS = {
    "approve": 15,
    "return": 2,
    "reject": 1,
    "unapprove": 4,
    "send": 1,
    "check": 1,
    "found": 4,
    "resubmit": 6,
    "withdraw": 2,
    "cancel": 3,
    "retry": 5,
    "attend": 1,
    "declare": 6,
    "confirm": 40,
    "drop": 1,
}

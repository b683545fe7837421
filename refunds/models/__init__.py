"""What the back office remembers. Fields, constraints and transitions; no steps, no network."""

from refunds.models.account import Account
from refunds.models.approval import Approval
from refunds.models.attempt import Attempt
from refunds.models.checkpoint import Checkpoint, Verification
from refunds.models.declaration import Declaration
from refunds.models.delivery import Delivery
from refunds.models.event import Event
from refunds.models.payment import Payment
from refunds.models.reason import ReasonWord, RefundReason
from refunds.models.refund import Refund, Status
from refunds.models.unmatched import UnmatchedRefund

__all__ = [
    "Account",
    "Approval",
    "Attempt",
    "Checkpoint",
    "Declaration",
    "Delivery",
    "Event",
    "Payment",
    "ReasonWord",
    "Refund",
    "RefundReason",
    "Status",
    "UnmatchedRefund",
    "Verification",
]

"""What the back office remembers. Fields, constraints and transitions; no steps, no network."""

from refunds.models.account import Account
from refunds.models.allowance import Allowance, Delegation, Scope
from refunds.models.approval import Approval
from refunds.models.archive import Archive, ArchivedChain, ArchivedDelivery, ArchivedLines
from refunds.models.attempt import Attempt
from refunds.models.batch import Batch, BatchRow
from refunds.models.change import Change
from refunds.models.checkpoint import Checkpoint, Verification
from refunds.models.declaration import Declaration
from refunds.models.delivery import Delivery
from refunds.models.event import Event
from refunds.models.knock import RefusedKnock
from refunds.models.notice import How, Notice, Preference
from refunds.models.payment import Payment
from refunds.models.reason import ReasonWord, RefundReason
from refunds.models.refund import Refund, Status
from refunds.models.rule import Rule
from refunds.models.sign import Tally, TallyMark, WorkerSign
from refunds.models.unmatched import UnmatchedRefund

__all__ = [
    "Account",
    "Allowance",
    "Approval",
    "Archive",
    "ArchivedChain",
    "ArchivedDelivery",
    "ArchivedLines",
    "Attempt",
    "Batch",
    "BatchRow",
    "Change",
    "Checkpoint",
    "Declaration",
    "Delegation",
    "Delivery",
    "Event",
    "How",
    "Notice",
    "Payment",
    "Preference",
    "ReasonWord",
    "Refund",
    "RefundReason",
    "RefusedKnock",
    "Rule",
    "Scope",
    "Status",
    "Tally",
    "TallyMark",
    "UnmatchedRefund",
    "Verification",
    "WorkerSign",
]

"""The journal as evidence: lines are chained, chains are sealed by checkpoints, and both can be verified."""

from refunds.history.chain import link
from refunds.history.checkpoints import EXPORTED, set_checkpoint
from refunds.history.proof import Seal, seals_over
from refunds.history.verify import Verdict, verify, verify_and_keep, verify_payment

__all__ = [
    "EXPORTED",
    "Seal",
    "Verdict",
    "link",
    "seals_over",
    "set_checkpoint",
    "verify",
    "verify_and_keep",
    "verify_payment",
]

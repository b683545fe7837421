"""The journal as evidence: lines are chained, chains are sealed by checkpoints, and both can be verified."""

from refunds.history.chain import link
from refunds.history.checkpoints import EXPORTED, set_checkpoint
from refunds.history.verify import verify, verify_and_keep

__all__ = ["EXPORTED", "link", "set_checkpoint", "verify", "verify_and_keep"]

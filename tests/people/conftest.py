"""A folder for evidence."""

from tests.refunds.conftest import evidence_folder

__all__ = ["evidence_folder"]

"""The ledger: the local SQLite memory of runs, backups, copies and proofs. The store is the truth."""

from holdfast.ledger.ledger import Ledger
from holdfast.ledger.rows import BackupRow, Copy, CopyState

__all__ = ["BackupRow", "Copy", "CopyState", "Ledger"]

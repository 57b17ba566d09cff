"""The ledger: the local SQLite memory of runs, backups, copies and proofs. The store is the truth.

`ledger` has runs and backups, `database` opens and migrates the file, `rows` turns values into rows. The other modules keep one thing
each, and are named for it; `facts` reads for the metrics, in one snapshot.
"""

from holdfast.ledger.ledger import Ledger
from holdfast.ledger.rows import BackupRow, Copy, CopyState

__all__ = ["BackupRow", "Copy", "CopyState", "Ledger"]

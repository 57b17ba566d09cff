"""The machine: processes (`proc`), the `stop` token, the `clock`, locks, logs.

`cage` shuts in what may run strangers' code; `spool` is the one place where plaintext may lie on a disk.
"""

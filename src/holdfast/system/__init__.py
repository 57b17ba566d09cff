"""The machine: processes, stopping, the clock, locks and logs."""

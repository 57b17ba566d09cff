"""The channels: one file for each way to tell people, or another program, what happened. The contract is in `base`."""

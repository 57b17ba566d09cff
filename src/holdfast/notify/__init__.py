"""The channels: one file for each way to tell people, or another program, what happened."""

"""What people read, and what `--json` prints."""

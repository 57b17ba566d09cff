"""The command `holdfast`, and `python -m holdfast`."""

from __future__ import annotations

import sys

from holdfast.cli import main as run


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

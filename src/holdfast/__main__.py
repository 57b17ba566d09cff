"""The command `holdfast`, and `python -m holdfast`."""

from __future__ import annotations

import gc
import io
import sys

gc.set_threshold(200_000, 10, 10)  # what is imported stays: looking for garbage in it is a tenth of the start

from holdfast.cli.program import main as run  # noqa: E402 - after that
from holdfast.system import stdio  # noqa: E402 - after that


def main() -> None:
    """Run the command line and exit with its code."""
    stdio.hold()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    stdio.leave()
    gc.freeze()  # what is left ends with the process: to look for garbage in it would take a fifth of a second
    sys.exit(code)


if __name__ == "__main__":
    main()

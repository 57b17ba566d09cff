"""What stands in for `age` and `zstd` where they are not installed; the extended suite takes the real ones."""

from __future__ import annotations

import sys
from pathlib import Path

AGE = f"""#!{sys.executable}
import sys, pyrage
decrypt, option, path = sys.argv[1:]
assert (decrypt, option) == ("--decrypt", "-i")
secret = [line for line in open(path).read().splitlines() if line.startswith("AGE-SECRET-KEY-")]
sys.stdout.buffer.write(pyrage.decrypt(sys.stdin.buffer.read(), [pyrage.x25519.Identity.from_str(secret[0])]))
"""
ZSTD = f"""#!{sys.executable}
import sys
from holdfast.streams.compress import decompress
assert sys.argv[1:] == ["-d", "-c"]
sys.stdout.buffer.writelines(decompress(iter([sys.stdin.buffer.read()])))
"""


def make_stand_ins(folder: Path) -> Path:
    """Make a folder with the two programs, which do what RESTORE.txt asks of them, and nothing else."""
    folder.mkdir()
    for name, text in (("age", AGE), ("zstd", ZSTD)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder

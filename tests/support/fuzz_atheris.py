"""Lets atheris look for bytes that do harm to a reader.

    python -m support.fuzz_atheris READER SECONDS FOLDER

The samples are its beginning. It ends with 0 when it found nothing; what it found lies in the folder, `crash-…` or `timeout-…`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore] # of the extended suite

with atheris.instrument_imports(include=["holdfast"]):
    from support.fuzz import BY_NAME


def main(name: str, seconds: str, folder: str) -> None:
    """Look for so long."""
    reader = BY_NAME[name]
    corpus = Path(folder, "corpus")
    corpus.mkdir()
    for number, sample in enumerate(reader.samples()):
        (corpus / str(number)).write_bytes(sample)
    flags = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1500", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *flags, "-verbosity=0", str(corpus)], reader.take)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:4])

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.model.errors import ConfigError
from holdfast.system import spool


def test_the_file_has_no_name_and_is_its_owners_alone(tmp_path: Path) -> None:
    with spool.unnamed_file(tmp_path) as handle:
        spool.write(handle, b"secret", tmp_path)
        found = os.fstat(handle)
        assert (stat.S_IMODE(found.st_mode), found.st_nlink) == (0o600, 0)
        assert list(tmp_path.iterdir()) == []
        assert Path(spool.path(handle)).read_bytes() == b"secret"


def test_where_no_file_can_be_unnamed_it_loses_its_name_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plainly = os.open

    def old(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return plainly(path, flags, mode)

    monkeypatch.setattr(os, "open", old)
    with spool.unnamed_file(tmp_path) as handle:
        found = os.fstat(handle)
        assert (stat.S_IMODE(found.st_mode), found.st_nlink) == (0o600, 0)
        assert list(tmp_path.iterdir()) == []


def test_a_part_can_be_written_over(tmp_path: Path) -> None:
    with spool.unnamed_file(tmp_path) as handle:
        spool.write(handle, b"0123456789", tmp_path)
        spool.write(handle, b"ab", tmp_path, at=3)
        spool.write(handle, b"!", tmp_path)
        assert Path(spool.path(handle)).read_bytes() == b"012ab56789!"


def test_too_little_space_is_told_with_both_numbers(tmp_path: Path) -> None:
    spool.require_space(tmp_path, 1)
    with pytest.raises(
        ConfigError, match=r"has [\d,]+ bytes free, .* needs 1,000,000,000,000,000$"
    ) as caught:
        spool.require_space(tmp_path, 10**15)
    assert "--jobs 1" in (caught.value.hint or "")


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "absent"
    with pytest.raises(ConfigError, match=r"cannot stage the archive in .*absent: No such file") as caught:
        spool.require_space(missing, 1)
    assert "spool_dir" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="No such file"), spool.unnamed_file(missing):
        pass


@pytest.fixture
def small_files() -> Iterator[int]:
    """Let this process write no file beyond so many bytes."""
    limit, before = 100_000, resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.fault("full.spool")
def test_a_disk_that_fills_up_is_told_and_nothing_stays(tmp_path: Path, small_files: int) -> None:
    with (
        pytest.raises(ConfigError, match=r"cannot stage the archive in .*: File too large"),
        spool.unnamed_file(tmp_path) as handle,
    ):
        spool.write(handle, bytes(small_files + 1), tmp_path)
    assert list(tmp_path.iterdir()) == []

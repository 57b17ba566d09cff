"""Why a scratch server failed: its disk, where that is why, and what to do then."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from holdfast.model.errors import CouldNotTestError, SourceError
from holdfast.postgres import confined
from holdfast.postgres.confined import Confined
from holdfast.postgres.conninfo import Conninfo

EIO = os.strerror(errno.EIO)


def cluster(folder: Path) -> Confined:
    return Confined(
        conninfo=Conninfo(params={}),
        isolation="isolated",
        version_num=170001,
        bin_dir=folder,
        folder=folder,
        pid=1,
        log_path=folder / "log",
    )


def test_a_server_that_could_not_be_made_on_a_disk_that_fails_says_what_to_do() -> None:
    with pytest.raises(CouldNotTestError, match=EIO) as caught, confined.naming_the_disk():
        raise SourceError(f'initdb exited with status 1: could not write file "PG_VERSION": {EIO}')
    assert "another disk" in str(caught.value.hint)
    with pytest.raises(SourceError, match="locale") as other, confined.naming_the_disk():
        raise SourceError("initdb exited with status 1: no such locale")
    assert other.value.hint is None


@pytest.mark.parametrize(("number", "hint"), [(errno.EIO, "another disk"), (errno.ENOSPC, "Free space")])
def test_a_disk_that_refuses_a_small_file_is_named_whatever_the_client_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    said = SourceError("could not write init file", hint="Try psql.")
    assert confined.explained(said, cluster(tmp_path)) is said
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    told = confined.explained(said, cluster(tmp_path))
    assert isinstance(told, CouldNotTestError)
    assert told.message == f"{tmp_path.parent}: {os.strerror(number)}, while could not write init file"
    assert hint in str(told.hint)


def test_a_log_that_cannot_be_read_or_tells_of_the_start_says_nothing(tmp_path: Path) -> None:
    error = CouldNotTestError("no connection to the server")
    assert confined.explained(error, cluster(tmp_path)) is error
    (tmp_path / "log").write_text("LOG: a\nFATAL:  the database system is starting up\nLOG: b\n")
    assert confined.explained(error, cluster(tmp_path)) is error
    (tmp_path / "log").write_text("LOG: a\nPANIC: could not open file\nLOG: b\n")
    assert "PANIC: could not open file" in confined.explained(error, cluster(tmp_path)).message

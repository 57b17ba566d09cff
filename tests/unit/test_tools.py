from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.model.errors import Error, IntegrityError, SourceError
from holdfast.postgres import scripts
from holdfast.postgres.tools import (
    NoToolsError,
    Toolset,
    choose,
    choose_for_restore,
    find_toolsets,
    version_num,
)
from holdfast.system.stop import Stop


def tools(*majors: int) -> list[Toolset]:
    return [
        Toolset(bin_dir=Path(f"/usr/lib/postgresql/{m}/bin"), version_num=m * 10_000 + 3, text=f"{m}.3")
        for m in majors
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 150018),
        ("pg_dump (PostgreSQL) 17beta1", 170000),
        ("18rc1", 180000),
        ("19devel", 190000),
        ("postgres (PostgreSQL) 9.6.24", 90624),
        ("15.18 (Debian 15.18-0+deb12u1)", 150018),
        ("pg_dump (PostgreSQL) 16.4 (Homebrew)", 160004),
    ],
)
def test_versions_are_read_as_the_server_counts(text: str, number: int) -> None:
    assert version_num(text) == number


def test_a_text_without_a_version_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no version"):
        version_num("pg_dump (PostgreSQL) unknown")


@pytest.mark.parametrize(
    ("there", "server", "chosen"), [((14, 15, 17), 15, 15), ((14, 18, 17), 16, 17), ((9, 15), 9, 9)]
)
def test_a_dump_takes_the_servers_major_or_the_next_newer(
    there: tuple[int, ...], server: int, chosen: int
) -> None:
    assert choose(tools(*there), server * 10_000 + 9).major == chosen


def test_of_several_with_the_same_major_the_first_found_is_taken() -> None:
    mine = Toolset(bin_dir=Path("/opt/mine"), version_num=150001, text="15.1")
    assert choose([mine, *tools(15)], 150009) is mine


def test_older_clients_are_an_error_that_says_what_to_install() -> None:
    with pytest.raises(NoToolsError) as caught:
        choose(tools(15, 14), 170002)
    assert "PostgreSQL 17" in str(caught.value)
    assert "14.3, 15.3" in str(caught.value)
    assert "postgresql-client-17 (apt)" in (caught.value.hint or "")
    assert not caught.value.retryable


def test_no_clients_at_all_is_an_error_too() -> None:
    with pytest.raises(NoToolsError, match="this machine has none"):
        choose([], 170002)


@pytest.mark.parametrize(
    ("there", "server", "dump", "chosen"),
    [
        ((15, 16, 17), 15, "15.18 (Debian)", 15),
        ((16, 17), 15, "15.18", 16),  # newer, but before transaction_timeout
        ((15, 16), 15, "16.2", 16),  # 15 cannot read what 16 wrote
        ((14, 15), 14, "15.1", 14),  # the archive format did not change between 12 and 15
        ((17, 18), 17, "18.4", 17),  # nor between 17 and 18
        ((18,), 17, "17.1", 18),
        ((15, 17), 17, "15.1", 17),
        ((16,), 16, None, 16),
        ((19, 20), 19, "20.1", 20),  # unknown: only what wrote it is trusted to read it
    ],
)
def test_a_restore_takes_what_reads_the_archive_and_suits_the_server(
    there: tuple[int, ...], server: int, dump: str | None, chosen: int
) -> None:
    assert choose_for_restore(tools(*there), server * 10_000, dump).major == chosen


def test_a_restore_into_16_refuses_later_clients() -> None:
    with pytest.raises(NoToolsError, match=r"no pg_restore fits PostgreSQL 16.*has only 17\.3") as caught:
        choose_for_restore(tools(17), 160003, "16.1")
    assert "postgresql-client-16" in (caught.value.hint or "")


def test_an_archive_of_17_does_not_go_into_16() -> None:
    with pytest.raises(
        NoToolsError, match="archive of pg_dump 17 cannot be restored into PostgreSQL 16"
    ) as caught:
        choose_for_restore(tools(15, 16, 17), 160003, "17.1")
    assert "17 or later" in (caught.value.hint or "")


def test_a_restore_names_the_client_that_reads_the_archive() -> None:
    with pytest.raises(NoToolsError, match="an archive of pg_dump 16") as caught:
        choose_for_restore(tools(15), 150003, "16.1")
    assert "postgresql-client-16" in (caught.value.hint or "")


def _fake(directory: Path, said: str, *programs: str) -> Path:
    directory.mkdir(parents=True)
    for name in programs or ("pg_dump", "pg_dumpall", "pg_restore", "psql"):
        (directory / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (directory / name).chmod(0o755)
    return directory


def test_extra_directories_come_first_and_links_are_followed_once(tmp_path: Path) -> None:
    real = _fake(tmp_path / "real", "pg_dump (PostgreSQL) 99.1")
    (tmp_path / "link").symlink_to(real)
    found = [t for t in find_toolsets([tmp_path / "link", real]) if t.major == 99]
    assert [t.bin_dir for t in found] == [real]
    assert find_toolsets([tmp_path / "link"])[0].program("psql") == str(real / "psql")


def test_a_script_that_picks_a_version_is_not_taken_for_the_program(tmp_path: Path) -> None:
    wrapper = tmp_path / "pg_wrapper"
    wrapper.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 99.1'\n")
    wrapper.chmod(0o755)
    (tmp_path / "bin").mkdir()
    for name in ("pg_dump", "pg_dumpall", "pg_restore", "psql"):
        (tmp_path / "bin" / name).symlink_to(wrapper)
    assert 99 not in {t.major for t in find_toolsets([tmp_path / "bin"])}


def test_broken_and_incomplete_directories_are_passed_over(tmp_path: Path) -> None:
    incomplete = _fake(tmp_path / "a", "pg_dump (PostgreSQL) 98.1", "pg_dump", "psql")
    silent = _fake(tmp_path / "b", "nonsense")
    assert {98} & {t.major for t in find_toolsets([incomplete, silent, tmp_path / "absent"])} == set()


def test_an_upgrade_is_noticed(tmp_path: Path) -> None:
    directory = _fake(tmp_path / "a", "pg_dump (PostgreSQL) 97.1")
    assert find_toolsets([directory])[0].text == "97.1"
    for program in list(directory.iterdir()):
        program.unlink()
    directory.rmdir()
    _fake(directory, "pg_dump (PostgreSQL) 97.2")
    assert find_toolsets([directory])[0].text == "97.2"


@pytest.mark.parametrize(("number", "error"), [(9, SourceError), (11, IntegrityError)])
def test_a_program_that_the_kernel_killed_says_nothing_of_the_archive(
    tmp_path: Path, number: int, error: type[Error]
) -> None:
    program = tmp_path / "pg_restore"
    program.write_text(f"#!/bin/sh\nkill -{number} $$\n")
    program.chmod(0o700)
    clients = Toolset(bin_dir=tmp_path, version_num=150018, text="15.18")
    with pytest.raises(Error, match="was killed by") as raised:
        scripts.of_archive(clients, [b"PGDMP"], [], Stop(), lambda _: None)
    assert isinstance(raised.value, error)

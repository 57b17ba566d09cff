"""What an operator types after `restore`, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.postgres.scratch import Cluster
from support.documents import json_keys
from support.home import Home, shape
from support.postgres import execute, query
from support.restoring import databases, drop


@pytest.fixture
def into(second_cluster: Cluster) -> Iterator[tuple[str, ...]]:
    """Give the options that lead to another server, under the name `again`, which is dropped at the end."""
    yield ("--to", second_cluster.conninfo.argv_dsn(), "--as", "again")
    drop(second_cluster, "again")


@pytest.fixture
def name(stocked: Home) -> tuple[str, ...]:
    return ("--database", str(stocked.database.database))


def test_a_backup_is_named_in_any_of_the_usual_ways(
    stocked: Home, name: tuple[str, ...], into: tuple[str, ...]
) -> None:
    new, old = stocked.ids()
    for words, expected in (
        ((old,), old),
        ((old[:-1],), old),
        (("latest",), new),
        (("latest", "--target", "shop"), new),
        (("latest", "--before", stocked.facts("show", new)["started_at"]), old),
    ):
        planned = stocked.facts("restore", *words, *name, *into, "--dry-run")
        assert planned["id"] == expected


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("20",), 2, "'20' fits 2 backups"),
        (("19",), 12, "no backup '19'"),
        (("latest", "--target", "shed"), 12, "no backup of target shed"),
        (("latest", "--before", "2001-01-01"), 12, "no backup before 2001-01-01"),
        (("latest", "--before", "yesterday"), 2, "'yesterday' is not a time"),
        (("20", "--before", "2001-01-01"), 2, "--before goes with `latest`"),
    ],
)
def test_a_backup_that_is_not_there_or_not_clear_is_told(
    stocked: Home, words: tuple[str, ...], code: int, message: str
) -> None:
    assert message in stocked.run("restore", *words, code=code).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--swap", "--table", "items"), "--swap replaces a whole database"),
        (("--no-compare",), "--no-compare goes with --swap"),
        (("--section", "rows"), "no section 'rows'"),
        (("--table", "items", "--roles"), "--roles and --tablespace-map go with whole databases"),
        (("--rename-table", "items"), "write OLD=NEW"),
        (("--tablespace-map", "fast"), "write OLD=PATH"),
        (("--swap", "--dry-run"), "--swap goes with --database"),
        (("--jobs", "0"), "--jobs 0"),
        (("--clean",), "--clean goes with --database"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    stocked: Home, words: tuple[str, ...], message: str
) -> None:
    assert message in stocked.run("restore", "latest", *words, code=2).stderr


def test_a_dry_run_says_what_would_happen_and_exits_as_the_restore_would(
    stocked: Home, second_cluster: Cluster, name: tuple[str, ...], into: tuple[str, ...]
) -> None:
    wish = ("restore", "latest", *name, *into, "--jobs", "2")
    said = stocked.run(*wish, "--dry-run").stdout
    assert "again (in the backup: " in said
    assert "would be created: 1 table, 1,000 rows" in said
    assert "staging needs " in said
    assert "again" not in databases(second_cluster)

    stocked.run(*wish)
    refused = stocked.run(*wish, "--dry-run", code=2).stdout
    assert "fail  database 'again'" in refused
    assert "the restore would be refused: 1 problem" in refused


@pytest.mark.extended
def test_jobs_sections_and_clean_work_from_the_command_line(
    stocked: Home, second_cluster: Cluster, name: tuple[str, ...], into: tuple[str, ...]
) -> None:
    wish = ("restore", "latest", *name, *into)
    for words in (
        ("--section", "pre-data", "--no-owner", "--no-privileges"),
        ("--section", "data", "--section", "post-data", "--jobs", "2", "--no-analyze"),
    ):
        stocked.run(*wish, *words)
    there = second_cluster.conninfo.with_database("again")
    execute(there, "DELETE FROM items")
    stocked.run(*wish, "--clean", "--role", "postgres")
    assert query(there, "SELECT count(*) FROM items") == [(1000,)]


def test_a_spool_that_is_not_there_is_told_by_check(stocked: Home) -> None:
    findings = stocked.facts("check", "--set", "daemon.spool_dir=/nowhere/at/all")
    [spool] = [each for each in findings if each["subject"] == "spool directory"]
    assert (spool["level"], spool["message"]) == (
        "warn",
        "cannot stage the archive in /nowhere/at/all: No such file or directory",
    )
    assert "spool directory" not in {each["subject"] for each in stocked.facts("check")}


def test_a_table_comes_back_into_a_database_that_is_there(
    stocked: Home, second_cluster: Cluster, name: tuple[str, ...], into: tuple[str, ...]
) -> None:
    execute(second_cluster.conninfo, "CREATE DATABASE again")
    wish = ("restore", "latest", *name, *into, "--table", "items")
    there = second_cluster.conninfo.with_database("again")

    planned = stocked.facts(*wish, "--dry-run")
    assert planned["dry_run"]
    assert query(there, "SELECT to_regclass('items')") == [(None,)]

    report = stocked.facts(*wish)
    assert shape(report) <= json_keys("restore")
    assert [(each["name"], each["rows"]) for each in report["tables"]] == [("public.items", 1000)]
    said = stocked.run(*wish[:-2], "--rename-table", "items=items_then").stdout
    assert "public.items_then (in the backup: public.items): 1,000 rows" in said
    assert query(there, "SELECT count(*) FROM items_then JOIN items USING (id, word)") == [(1000,)]

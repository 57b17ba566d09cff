from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.jobs.swap import Plan, SwapReport
from holdfast.jobs.written_since import (
    DefinitionChange,
    SequenceChange,
    TableChange,
    Unread,
    Written,
)
from holdfast.postgres.property_changes import PropertyChanges
from holdfast.render import swap

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)


def swapped(live: str = "shop", kept: str = "shop_before", written: Written | None = None) -> SwapReport:
    return SwapReport(
        live=live,
        kept=kept,
        into="here",
        size=2_000_000,
        ended_sessions=3,
        blocked_seconds=0.123,
        properties=PropertyChanges(only_old=('ALTER DATABASE "shop" SET x TO 1;',), only_new=()),
        notes=("the slot stays",),
        written=written,
    )


@given(NAMES, NAMES)
@example('it\'s "a"\n$(x)`y`\\', "\x1b[2J\u202e\u00a0ü数")
def test_the_way_back_is_one_line_that_a_shell_reads_as_meant(live: str, kept: str) -> None:
    command = swap.way_back(swapped(live, kept), ("--target", "a b"))
    assert command.isprintable()
    bash = shutil.which("bash")
    assert bash is not None
    script = f'holdfast() {{ printf "%s\\0" "$@"; }}; {command}'
    done = subprocess.run([bash, "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
    words = done.stdout.decode().split("\0")[1:-1]
    names, options = [live, kept], ["--target", "a b"]
    assert words == ([*options, "--", *names] if "-" in {live[0], kept[0]} else [*names, *options])


def test_a_password_stands_in_no_command() -> None:
    options = swap.server_options(config=None, to="postgresql://u:hush@db/shop", target="main")
    assert options == ("--to", "user='u' dbname='shop' host='db'")
    plain = "postgresql://u@db/shop"
    assert swap.server_options(config=None, to=plain, target=None) == ("--to", plain)


def test_a_swap_is_told_with_all_that_was_written_since(capsys: pytest.CaptureFixture[str]) -> None:
    written = Written(
        tables_compared=3,
        tables=(
            TableChange(name="public.a", rows_old=1200, rows_backup=1),
            TableChange(name="public.b", rows_old=1, rows_backup=1),
            TableChange(name="public.c", rows_old=2, rows_backup=None),
            TableChange(name="public.d", rows_old=None, rows_backup=4),
        ),
        sequences=(
            SequenceChange(name="public.s", old=7, backup=3),
            SequenceChange(name="public.t", old=7, backup=None),
            SequenceChange(name="public.u", old=None, backup=3),
        ),
        large_objects=("16",),
        definitions=(DefinitionChange(name="view public.v", where="both"),),
        unread=(Unread(name="public.e", error="cannot be read: invalid page"),),
    )
    swap.report(swapped(written=written), ("--target", "main"))
    assert capsys.readouterr().out == (
        "shop was swapped: 3 sessions ended, new connections waited 0.1 s at most\n"
        "the old one is kept as shop_before (2.0 MB)\n"
        "  the slot stays\n"
        "the old one had these properties, and the new one has not:\n"
        '  ALTER DATABASE "shop" SET x TO 1;\n'
        "the old one differs from the backup (3 tables compared):\n"
        "  table public.a: 1,200 rows, 1 in the backup\n"
        "  table public.b: 1 row as in the backup, but not the same\n"
        "  table public.c: 2 rows, and no such table in the backup\n"
        "  table public.d: not there any more; 4 rows in the backup\n"
        "  sequence public.s: at 7, 3 in the backup\n"
        "  sequence public.t: at 7, and no such sequence in the backup\n"
        "  sequence public.u: not there any more; at 3 in the backup\n"
        "  large object 16 differs\n"
        "  view public.v: differs\n"
        "not compared:\n"
        "  public.e: cannot be read: invalid page\n"
        "the way back:       holdfast swap shop shop_before --target main\n"
        'when all is well:   DROP DATABASE "shop_before";\n'
    )


def test_of_many_differences_the_first_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    many = tuple(TableChange(name=f"public.t{n}", rows_old=n, rows_backup=0) for n in range(1, 25))
    written = Written(
        tables_compared=24, tables=many, sequences=(), large_objects=(), definitions=(), unread=()
    )
    swap.report(swapped(written=written), ())
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  table public.t") for line in lines) == 20
    assert "  and 4 more (--json lists all)" in lines


def test_where_nothing_differs_it_says_how_much_was_compared(capsys: pytest.CaptureFixture[str]) -> None:
    none = Written(tables_compared=2, tables=(), sequences=(), large_objects=(), definitions=(), unread=())
    swap.report(swapped(written=none), ())
    assert "nothing was written since the backup, as far as it was compared: 2 tables\n" in (
        capsys.readouterr().out
    )


def test_a_plan_says_who_would_be_ended(capsys: pytest.CaptureFixture[str]) -> None:
    swap.plan(
        Plan(
            live="shop",
            other=None,
            kept="shop_before",
            into="here",
            size=None,
            other_size=None,
            sessions={"app (rails)": 2},
            notes=("a note",),
        )
    )
    assert capsys.readouterr().out == (
        "on here: the restored database would take the place of shop\n"
        "  which would be kept as shop_before\n"
        "  2 sessions would be ended:\n"
        "    2 of app (rails)\n"
        "  a note\n"
    )

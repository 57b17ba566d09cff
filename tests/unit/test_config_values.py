"""What single values of the config may be: options of pg_dump, durations, schedules, URLs."""

from __future__ import annotations

import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.config import options, values


@pytest.mark.parametrize("option", sorted(options.ALLOWED))
def test_an_allowed_option_of_pg_dump_is_allowed(option: str) -> None:
    with_value = option in {"--encoding", "--include-foreign-data", "--role"}
    assert options.problem(f"{option}=x" if with_value else option, "zstd") is None
    assert options.problem(option if with_value else f"{option}=x", "zstd") is not None


@pytest.mark.parametrize(
    "option",
    [
        "-f x",
        "--file=x",
        "-Fp",
        "--format=plain",
        "-j4",
        "--jobs=4",
        "--snapshot=1",
        "-dx",
        "--dbname=x",
        "-a",
        "-s",
        "--section=data",
        "-c",
        "-C",
        "--inserts",
        "--rows-per-insert=5",
        "-Z5",
        "--compress=9",
        "-n",
        "-Nx",
        "-t",
        "-T",
        "--exclude-table-data=x",
        "--filter=f",
        "-hx",
        "-p5",
        "-Ux",
        "-W",
        "-w",
        "-v",
        "-O",
        "-x",
        "--enable-row-security",
        "--extra-float-digits=0",
        "-ex",
        "-B",
        "--insert",
        "--role",
        "x",
        "",
    ],
)
def test_an_option_that_breaks_a_promise_is_refused_with_a_reason(option: str) -> None:
    text = options.problem(option, "zstd")
    assert text is not None
    assert len(text) > 20


def test_pg_dumps_own_compression_takes_its_option() -> None:
    for option in ("-Z5", "--compress=zstd:level=3,long"):
        assert options.problem(option, "pg_dump") is None
        assert "Holdfast's own" in str(options.problem(option, "none"))
    assert options.problem("-Z", "pg_dump") is not None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(60, 60), (1.5, 1.5), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400), ("500ms", 0.5)],
)
def test_a_duration_is_read(text: object, seconds: float) -> None:
    assert values.duration(text) == seconds


@given(st.one_of(st.text(max_size=12), st.floats(), st.integers(), st.none(), st.booleans()))
def test_whatever_is_no_duration_is_a_value_error(value: object) -> None:
    try:
        seconds = values.duration(value)
    except ValueError:
        return
    assert 0 < seconds < float("inf")


@given(st.lists(st.sampled_from(["*", "*/5", "1", "1-2", "1,2", "2-3/2", "1,3-5"]), min_size=5, max_size=5))
def test_every_cron_line_of_good_fields_is_a_schedule(fields: list[str]) -> None:
    assert values.schedule("  ".join(fields)) == " ".join(fields)


@pytest.mark.parametrize(
    "line",
    [
        "* * * *",
        "* * * * * *",
        "*/0 * * * *",
        "a * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "1- * * * *",
        ", * * * *",
        "@reboot",
        "@daily 1",
        "* * * * mond",
        "²  * * * *",
    ],
)
def test_what_is_no_schedule_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"cron fields|cannot be the|is no"):
        values.schedule(line)


def test_names_of_months_and_days_are_known() -> None:
    assert values.schedule("0 4 * JAN-mar Sun,mon-fri") == "0 4 * jan-mar sun,mon-fri"


@given(st.text(alphabet="ab:@/%?#=&' \\", max_size=20), st.sampled_from(["@h/d", "@h:5432/d?x=y"]))
def test_the_password_in_a_url_is_found_as_it_stands(password: str, rest: str) -> None:
    found = values.passwords_in(f"postgresql://user:{password}{rest}")
    if password and not set(password) & set("/@"):  # these end it, for libpq too
        assert password in found


def test_a_machine_without_time_zones_says_what_to_install() -> None:
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        with pytest.raises(ValueError, match="this machine knows no time zone but UTC: install tzdata"):
            values.timezone("Europe/Berlin")
        assert values.timezone("UTC") == "UTC"
    finally:
        zoneinfo.reset_tzpath()

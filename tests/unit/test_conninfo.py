from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from holdfast.model.errors import ConfigError
from holdfast.postgres.conninfo import Conninfo, base_environment, child, keyword_string, parse

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def test_a_uri_and_a_keyword_string_say_the_same() -> None:
    uri = parse("postgresql://backup@db.example:5433/app?sslmode=require", environ={})
    words = parse("host=db.example port=5433 user=backup dbname=app sslmode=require", environ={})
    assert uri == words
    assert uri.database == "app"


def test_the_given_password_beats_the_url_which_beats_the_environment() -> None:
    url = "postgresql://u:inside@h/d"
    assert parse(url, password="given", environ={"PGPASSWORD": "outside"}).password == "given"
    assert parse(url, environ={"PGPASSWORD": "outside"}).password == "inside"
    assert parse("postgresql://u@h/d", environ={"PGPASSWORD": "outside"}).password == "outside"


def test_a_service_file_comes_before_the_password_of_the_environment() -> None:
    assert parse("service=prod", environ={"PGPASSWORD": "outside"}).password is None


def test_without_a_url_everything_is_left_to_libpq() -> None:
    assert parse(None, environ={}) == Conninfo()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret%zz@h/d",
        "postgresql://u:s3cret@[::1/d",
        "host=h password=s3cret s3cret",
        "host=h password=x s3cret=y",
        "password='s3cret",
        "postgresql://u@h/d?s3cret=1",
        "postgresql://u:a@h:b/d?password=s3cret&x=y&",
        "postgresql://u:pass@s3cret@h/d",
        "postgresql://u:@s3cret@h:1",
        "postgresql://u:pass/s3cret@h:1/d",
        "postgresql://u:s3cret/x@h",
        "postgresql://u:1/s3cret@h/d",
        "postgresql://u:a@s3cret/b@h:1/d",
        "postgresql://u:pa?ss@s3cret@h/d",
        "host=h;port=1;password=s3cret",
        "host=h port=s3cret",
        "s3cret",
    ],
)
def test_a_malformed_url_is_a_config_error_that_never_quotes_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(url, environ={})
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in (caught.value.hint or "")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40%2F@h1:1,[::1]:2/d?application_name=a@b",
        "postgresql://u:a?b#c@h/d",
        "postgresql:///d?host=/run/a@b&user=u@v",
        "postgresql://%2Frun%2Fpg/d",
        "host=@abstract user=u@v dbname=a@b",
        "host=h1,h2 port=1,",
        "postgres://h",
    ],
)
def test_signs_of_a_misread_password_are_no_hindrance_where_they_are_right(url: str) -> None:
    assert parse(url, environ={}).params


@pytest.mark.parametrize("password", ["a\nb", "a\rb", "a\0b"])
def test_a_password_that_no_password_file_can_hold_is_refused(password: str) -> None:
    with pytest.raises(ConfigError, match="line break"):
        parse("postgresql://u@h/d", password=password, environ={})


def test_a_secret_that_no_child_could_be_given_is_refused() -> None:
    with pytest.raises(ConfigError, match="sslpassword") as caught:
        parse("host=h sslpassword=s3cret", environ={})
    assert "s3cret" not in str(caught.value)


def test_the_password_stands_in_no_text_but_the_dsn() -> None:
    conninfo = parse("postgresql://u:s3cret@h:1/d", environ={})
    assert "s3cret" not in repr(conninfo) + conninfo.safe + conninfo.argv_dsn() + str(conninfo)
    assert conninfo_to_dict(conninfo.dsn())["password"] == "s3cret"


def test_safe_text_names_place_database_and_user() -> None:
    assert parse("postgresql://u:p@h:1/d", environ={}).safe == "h:1/d as u"
    assert Conninfo(params={"service": "prod"}, isolated=True).safe == "service prod"
    assert Conninfo(isolated=True).safe == "local socket"


@given(st.dictionaries(st.sampled_from(["host", "user", "dbname", "application_name"]), TEXT))
def test_any_value_survives_libpqs_quoting(params: dict[str, str]) -> None:
    assert conninfo_to_dict(keyword_string(params)) == params


@given(TEXT)
def test_any_database_name_survives_the_argv(name: str) -> None:
    conninfo = parse("postgresql://u@h/d", environ={})
    assert conninfo_to_dict(conninfo.argv_dsn(name))["dbname"] == name
    assert conninfo_to_dict(conninfo.with_database(name).dsn())["dbname"] == name


def test_a_child_sees_little_of_the_environment() -> None:
    environ = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "PGSSLMODE": "require",
        "PGPASSWORD": "s3cret",
        "HOLDFAST_TARGETS": "s3cret",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
    }
    with child(Conninfo(), application_name="holdfast", environ=environ) as seen:
        kept = {key: value for key, value in seen.env.items() if key != "PGPASSFILE"}
        assert kept == {
            "PATH": "/bin",
            "LC_CTYPE": "C",
            "LC_MESSAGES": "C",
            "PGSSLMODE": "require",
            "PGAPPNAME": "holdfast",
            "PGCONNECT_TIMEOUT": "30",
        }
        assert os.pread(seen.pass_fds[0], 100, 0) == b"*:*:*:*:s3cret\n"


def test_an_isolated_child_sees_nothing_of_postgresqls_variables() -> None:
    conninfo = Conninfo(params={"host": "/run/x"}, isolated=True)
    with child(conninfo, application_name="a", environ={"PGHOSTADDR": "10.0.0.1", "PGPASSWORD": "x"}) as seen:
        assert dict(seen.env) == {"PGAPPNAME": "a", "PGCONNECT_TIMEOUT": "30", "LC_MESSAGES": "C"}
        assert seen.pass_fds == ()


def test_the_environments_password_never_reaches_a_child_nor_beats_the_given_one() -> None:
    environ = {"PGPASSWORD": "outside"}
    for own, expected in ((None, b"outside"), ("given", b"given")):
        conninfo = parse("host=h", password=own, environ=environ)
        with child(conninfo, application_name="a", environ=environ) as seen:
            assert "PGPASSWORD" not in seen.env
            assert os.pread(seen.pass_fds[0], 100, 0) == b"*:*:*:*:" + expected + b"\n"


def test_a_child_speaks_english_in_the_characters_of_the_environment() -> None:
    environ = {"LANG": "C", "LANGUAGE": "de", "LC_ALL": "de_DE.UTF-8", "LC_TIME": "C"}
    assert base_environment(environ) == {"LC_CTYPE": "de_DE.UTF-8", "LC_MESSAGES": "C"}
    assert base_environment({"LANG": "de_DE.UTF-8", "LC_TIME": "C"}) == {
        "LANG": "de_DE.UTF-8",
        "LC_TIME": "C",
        "LC_MESSAGES": "C",
    }


def test_the_password_is_escaped_and_private_and_gone_afterwards() -> None:
    with child(Conninfo(password="a:b\\c"), application_name="a", environ={}) as seen:
        (handle,) = seen.pass_fds
        assert seen.env["PGPASSFILE"] == f"/proc/self/fd/{handle}"
        assert os.pread(handle, 100, 0) == b"*:*:*:*:a\\:b\\\\c\n"
        assert stat.S_IMODE(os.fstat(handle).st_mode) == 0o600
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def _forbidden(_name: str, _flags: int) -> int:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("forbidden", [True, False])
def test_without_memory_files_a_private_file_is_removed(
    monkeypatch: pytest.MonkeyPatch,
    forbidden: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    if forbidden:
        monkeypatch.setattr(os, "memfd_create", _forbidden)
    else:
        monkeypatch.delattr(os, "memfd_create")
    with child(Conninfo(password="x"), application_name="a", environ={}) as seen:
        path = Path(seen.env["PGPASSFILE"])
        assert path.read_bytes() == b"*:*:*:*:x\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def test_options_join_those_of_the_url_which_beat_the_environment() -> None:
    conninfo = parse("host=h options='-c geqo=off'", environ={})
    assert "options" not in conninfo.argv_dsn()
    environ = {"PGOPTIONS": "-c a=b"}
    with child(conninfo, application_name="a", options={"role": "my role\\x"}, environ=environ) as seen:
        assert seen.env["PGOPTIONS"] == "-c geqo=off -c role=my\\ role\\\\x"
    with child(Conninfo(), application_name="a", options={"x": "1"}, environ=environ) as seen:
        assert seen.env["PGOPTIONS"] == "-c a=b -c x=1"


def test_a_password_file_of_the_url_does_not_hide_the_password() -> None:
    assert "passfile" in parse("host=h passfile=/x", environ={}).argv_dsn()
    assert "passfile" not in parse("host=h passfile=/x", password="p", environ={}).argv_dsn()


def test_connecting_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    assert "connect_timeout='30'" in parse("host=h", environ={}).dsn()
    assert "connect_timeout='5'" in parse("host=h connect_timeout=5", environ={}).dsn()


def test_a_setting_goes_behind_the_options_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGSERVICE", raising=False)
    monkeypatch.setenv("PGOPTIONS", "-c a=b")
    assert parse("host=h").with_setting("x", "off").params["options"] == "-c a=b -c x=off"
    assert parse("options='-c c=d'").with_setting("x", "off").params["options"] == "-c c=d -c x=off"
    isolated = Conninfo(isolated=True).with_setting("x", "off")
    assert isolated.params["options"] == "-c x=off"


def test_a_setting_does_not_hide_the_options_of_a_service() -> None:
    assert "options" not in parse("service=s").with_setting("x", "off").params

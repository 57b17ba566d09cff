from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres.statements import Statement, classify, quoted_name, relocated, split_statements


def texts(sql: str) -> list[str]:
    return [statement.text for statement in split_statements(sql)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'a;b'",
        "SELECT 'it''s; --x'",
        r"SELECT 'ends with a backslash\'",
        r"SELECT E'it\'s; /*'",
        r"SELECT e'a\\'",
        'SELECT "a;""b"',
        "SELECT $$a;'b$$",
        "SELECT $t_1$ $$;$x$ $t_1$",
        "SELECT $ä$;$ä$",
        "SELECT a$b;".rstrip(";"),
        "SELECT 1 /* ; /* ' */ ; */ + 1",
        "SELECT 1 -- ;'\n+ 1",
        "SELECT namee'x;'",
        "SELECT 'a\\restrict\n\\connect x;'",
    ],
)
def test_semicolons_end_statements_only_outside_of_quotes_and_comments(statement: str) -> None:
    assert texts(f"{statement};\nSELECT 2;") == [statement, "SELECT 2"]


def test_comments_and_psql_commands_before_a_statement_are_dropped() -> None:
    sql = "-- Roles; 'x\n\\restrict a'b\n/* c */\n;;SELECT 1 ;\n\\unrestrict a'b\n\n-- done\n"
    assert texts(sql) == ["SELECT 1"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 'a;",
        "SELECT 'a''b",
        "SELECT E'a\\'",
        'SELECT "a',
        "/* /* */",
        "SELECT $$a;$a$",
        "E'\\",
    ],
)
def test_a_text_that_is_cut_short_is_an_integrity_error(sql: str) -> None:
    with pytest.raises(IntegrityError, match="globals end inside"):
        texts(sql)


def test_a_string_that_never_ends_costs_linear_time() -> None:
    began = time.monotonic()
    with pytest.raises(IntegrityError):
        texts("SELECT '" + "''a" * 200_000)
    assert time.monotonic() - began < 5


def test_chunks_may_cut_anywhere_even_inside_a_character() -> None:
    raw = "CREATE ROLE \"bü;ro\";\nCOMMENT ON ROLE x IS '€;';\n".encode()
    chunks = [raw[i : i + 1] for i in range(len(raw))]
    assert [s.text for s in split_statements(chunks)] == ['CREATE ROLE "bü;ro"', "COMMENT ON ROLE x IS '€;'"]


@given(st.lists(st.sampled_from(["'", '"', "$$", "$a$", "--", "/*", "*/", "\n", ";", "E'", "\\", "a", " "])))
def test_any_text_is_split_or_an_integrity_error(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        found = texts(text)
    except IntegrityError:
        return
    assert all(piece and piece in text for piece in found)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_role_name_is_read_back(name: str) -> None:
    (statement,) = split_statements(f"CREATE ROLE {quoted_name(name)};")
    assert classify(statement).name == name


@pytest.mark.parametrize(
    ("sql", "kind", "facts"),
    [
        ('CREATE ROLE "We""ird; role"', "create_role", {"name": 'We"ird; role'}),
        ("ALTER ROLE Grp WITH NOSUPERUSER PASSWORD 'x'", "alter_role", {"name": "grp"}),
        ("ALTER ROLE grp SET search_path TO 'a'", "role_setting", {"name": "grp"}),
        ('ALTER ROLE g IN DATABASE "D b" SET x TO 1', "role_setting", {"name": "g", "database": "D b"}),
        ("COMMENT ON ROLE grp IS 'x'", "role_comment", {"name": "grp"}),
        ("SECURITY LABEL FOR dummy ON ROLE grp IS 'x'", "role_label", {"name": "grp"}),
        ("GRANT a TO b", "membership", {"name": "a", "member": "b"}),
        (
            'GRANT a TO "B" WITH ADMIN OPTION, INHERIT FALSE GRANTED BY postgres',
            "membership",
            {"name": "a", "member": "B", "grantor": "postgres"},
        ),
        ('GRANT "on" TO "granted"', "membership", {"name": "on", "member": "granted"}),
        (
            "CREATE TABLESPACE \"t s\" OWNER grp LOCATION '/srv/a b'",
            "create_tablespace",
            {"name": "t s", "owner": "grp", "location": "/srv/a b"},
        ),
        (
            r"CREATE TABLESPACE t OWNER g LOCATION E'/a\\b'",
            "create_tablespace",
            {"name": "t", "owner": "g", "location": r"/a\b"},
        ),
        ("CREATE TABLESPACE t LOCATION ''", "create_tablespace", {"name": "t", "location": ""}),
        ("ALTER TABLESPACE t SET (seq_page_cost=2)", "tablespace_setting", {"name": "t"}),
        (
            "GRANT ALL ON TABLESPACE t TO b WITH GRANT OPTION",
            "tablespace_grant",
            {"name": "t", "member": "b"},
        ),
        ("REVOKE ALL ON TABLESPACE t FROM PUBLIC", "tablespace_grant", {"name": "t", "member": "public"}),
        ("COMMENT ON TABLESPACE t IS 'x'", "tablespace_comment", {"name": "t"}),
        ("GRANT SET ON PARAMETER my.var TO b", "parameter_grant", {"name": "my.var", "member": "b"}),
        ("SET client_encoding = 'UTF8'", "setting", {}),
        ("RESET SESSION AUTHORIZATION", "setting", {}),
        ("CREATE DATABASE x", "other", {}),
        ("GRANT ALL ON DATABASE x TO b", "other", {}),
        ("GRANT", "other", {}),
        ("ALTER ROLE", "other", {}),
    ],
)
def test_a_statement_says_what_it_is_about(sql: str, kind: str, facts: dict[str, str]) -> None:
    found = classify(Statement(text=sql))
    names = ("name", "member", "grantor", "database", "owner", "location")
    assert found.kind == kind
    assert {key: getattr(found, key) for key in names if getattr(found, key) is not None} == facts


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_a_tablespace_can_be_moved(path: str) -> None:
    before = classify(Statement(text='CREATE TABLESPACE "t s" OWNER "o""w" LOCATION \'/old\''))
    after = classify(relocated(before, path))
    assert (after.kind, after.name, after.owner, after.location) == ("create_tablespace", "t s", 'o"w', path)


def test_only_a_tablespace_can_be_moved() -> None:
    with pytest.raises(ValueError, match="has no location"):
        relocated(classify(Statement(text="CREATE ROLE a")), "/x")


def test_a_password_does_not_stand_in_the_repr() -> None:
    assert "s3cret" not in repr(classify(Statement(text="ALTER ROLE a WITH PASSWORD 's3cret'")))

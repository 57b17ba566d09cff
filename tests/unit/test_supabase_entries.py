"""Which entries of a project's archive are restored into another project, and which without the platform."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import pytest

from holdfast.methods.standing_in import needing
from holdfast.model.supabase import EXTRAS
from holdfast.postgres import statements
from holdfast.postgres import supabase_names as names
from holdfast.postgres.entries import Entry
from holdfast.postgres.statements import Statement
from holdfast.postgres.supabase_entries import There, for_plain, for_project

_NUMBER = count(1)

# What the official dump leaves out, schema by schema, and of the data; written from its documentation.
NO_SCHEMA = [
    "auth",
    "storage",
    "realtime",
    "extensions",
    "vault",
    "graphql",
    "graphql_public",
    "pgbouncer",
    "supabase_functions",
    "supabase_migrations",
    "cron",
    "net",
    "pgmq",
    "pgsodium",
    "pgsodium_masks",
    "pgtle",
    "dbdev",
    "repack",
    "tiger",
    "tiger_data",
    "topology",
    "etl",
    "_analytics",
    "_realtime",
    "_supavisor",
    "timescaledb_information",
    "_timescaledb_catalog",
    "information_schema",
    "pg_toast",
]
NO_ROWS = [
    "realtime",
    "extensions",
    "vault",
    "graphql",
    "graphql_public",
    "pgbouncer",
    "supabase_migrations",
    "pgsodium",
    "pgsodium_masks",
    "pgtle",
    "repack",
    "tiger",
    "tiger_data",
    "topology",
    "etl",
    "_analytics",
    "_realtime",
    "_supavisor",
    "timescaledb_information",
    "_timescaledb_catalog",
]
ROWS = ["auth", "storage", "supabase_functions", "cron", "net", "pgmq", "dbdev", "public", "shop"]


def entry(
    desc: str,
    tag: str,
    space: str | None = None,
    *,
    owner: str = "postgres",
    needs: Iterable[Entry] = (),
    copy: str | None = None,
) -> Entry:
    number = next(_NUMBER)
    return Entry(
        dump_id=number,
        table_oid=0,
        oid=number,
        tag=tag,
        desc=desc,
        section="pre-data",
        namespace=space,
        owner=owner,
        has_data=desc == "TABLE DATA",
        dependencies=tuple(each.dump_id for each in needs),
        copy=copy,
    )


def there(**tables: Iterable[str]) -> There:
    """A project with these tables, `schema__name`, and their columns."""
    return There(
        schemas=frozenset({"public", "auth", "storage", "realtime"}),
        tables={
            (key.partition("__")[0], key.partition("__")[2]): frozenset(each) for key, each in tables.items()
        },
        roles=frozenset({"postgres"}),
        extensions=frozenset({"pgcrypto"}),
        publications=frozenset({"supabase_realtime"}),
    )


def chosen(*entries: Entry, extras: Iterable[str] = EXTRAS, here: There | None = None) -> set[str]:
    choice = for_project(entries, here or there(), extras=tuple(extras))
    return {f"{each.desc} {each.tag}" for each in (*choice.entries, *choice.late)}


@pytest.mark.parametrize("schema", NO_SCHEMA)
def test_definitions_of_the_platforms_schemas_stay_out(schema: str) -> None:
    found = [entry("SCHEMA", schema), entry("TABLE", "t", schema), entry("FUNCTION", "f()", schema)]
    found += [entry("ACL", f"SCHEMA {schema}"), entry("DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", schema)]
    assert chosen(*found, extras=()) == set()


@pytest.mark.parametrize("schema", NO_ROWS)
def test_rows_that_the_official_dump_leaves_out_are_not_dumped(schema: str) -> None:
    assert not names.keeps_rows(schema, "t")


@pytest.mark.parametrize("schema", ROWS)
def test_rows_that_it_has_are(schema: str) -> None:
    assert names.keeps_rows(schema, "t")


@pytest.mark.parametrize(
    "name", ["auth.schema_migrations", "storage.migrations", "supabase_functions.migrations"]
)
def test_the_platforms_notes_of_its_migrations_stay_out(name: str) -> None:
    assert not names.keeps_rows(*name.split("."))


def test_what_the_owner_made_goes_in_and_what_is_there_does_not() -> None:
    found = [
        entry("SCHEMA", "shop"),
        entry("SCHEMA", "public"),
        entry("TABLE", "orders", "shop"),
        entry("EXTENSION", "vector"),
        entry("EXTENSION", "pgcrypto"),
        entry("COMMENT", "EXTENSION vector"),
        entry("PUBLICATION", "supabase_realtime"),
        entry("PUBLICATION", "mine"),
        entry("PUBLICATION TABLE", "supabase_realtime orders", "shop"),
        entry("DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", "public"),
        entry("DEFAULT ACL", "DEFAULT PRIVILEGES FOR FUNCTIONS", "public", owner="supabase_admin"),
    ]
    assert chosen(*found) == {
        "SCHEMA shop",
        "TABLE orders",
        "EXTENSION vector",
        "PUBLICATION mine",
        "PUBLICATION TABLE supabase_realtime orders",
        "DEFAULT ACL DEFAULT PRIVILEGES FOR TABLES",
    }


def test_triggers_and_policies_of_ones_own_come_from_the_platforms_tables() -> None:
    own, platforms = entry("FUNCTION", "f()", "public"), entry("FUNCTION", "f()", "storage")
    found = [
        own,
        platforms,
        entry("TRIGGER", "users mine", "auth", needs=[own]),
        entry("TRIGGER", "objects theirs", "storage", needs=[platforms]),
        entry("POLICY", "objects mine", "storage"),
        entry("ROW SECURITY", "objects", "storage"),
        entry("EVENT TRIGGER", "mine"),
        entry("EVENT TRIGGER", "theirs", owner="supabase_admin"),
    ]
    everything = {"FUNCTION f()", "TRIGGER users mine", "POLICY objects mine", "EVENT TRIGGER mine"}
    assert chosen(*found) == everything
    for extra, what in (
        ("triggers", "TRIGGER users mine"),
        ("policies", "POLICY objects mine"),
        ("event_triggers", "EVENT TRIGGER mine"),
    ):
        assert chosen(*found, extras=set(EXTRAS) - {extra}) == everything - {what}


def test_rows_need_a_table_and_all_their_columns() -> None:
    users = entry("TABLE DATA", "users", "auth", copy="COPY auth.users (id, email, is_new) FROM stdin;\n")
    gone = entry("TABLE DATA", "gone", "auth", copy="COPY auth.gone (id) FROM stdin;\n")
    choice = for_project([users, gone], there(auth__users=("id", "email")), extras=EXTRAS)
    assert choice.lacking == ("auth.users.is_new",)
    assert [each.name for each in choice.left_out] == ["auth.gone"]
    none = for_project([users, gone], there(auth__users=("id",)), extras=EXTRAS, empty={users.oid, gone.oid})
    assert (none.entries, none.lacking, none.left_out) == ((), (), ())


def test_an_owner_whom_nobody_may_set_is_left_to_who_restores() -> None:
    mine, theirs = entry("TABLE", "a", "shop"), entry("TABLE", "b", "shop", owner="supabase_admin")
    assert for_project([mine, theirs], there(), extras=EXTRAS).disowned == {theirs.dump_id}


def test_without_the_platform_what_needs_it_is_left_out_and_named() -> None:
    net = entry("FUNCTION", "http_request()", "supabase_functions")
    vector = entry("EXTENSION", "vector")
    found = [
        net,
        vector,
        entry("TABLE", "users", "auth"),
        entry("TRIGGER", "orders tell", "shop", needs=[net]),
        entry("TABLE", "texts", "shop", needs=[vector]),
        entry("ACL", "TABLE texts", "shop", needs=[vector]),
        entry("EVENT TRIGGER", "theirs", owner="supabase_admin"),
    ]
    choice = for_plain(found, roles=("postgres",), available=())
    assert [each.tag for each in choice.entries] == ["users"]
    assert [each.name for each in choice.left_out] == ["vector", "shop.orders tell", "shop.texts"]


def test_what_needs_a_stood_in_extension_itself_is_not_tested_and_its_rows_are() -> None:
    vault = entry("EXTENSION", "supabase_vault")
    rows = entry("TABLE DATA", "secrets", "vault", needs=[vault])
    view = entry("VIEW", "open", "public", needs=[vault])
    upon = entry("ACL", "FUNCTION f()", "vault", needs=[entry("FUNCTION", "f()", "vault")])
    assert needing([vault, rows, view, upon], {"supabase_vault"}).keys() == {view.dump_id, upon.dump_id}
    assert needing([vault, rows, view, upon], ()) == {}


def test_flags_for_superusers_go_from_statements_and_stay_in_names_and_strings() -> None:
    said = Statement(
        text="ALTER ROLE \"NOSUPERUSER\" WITH NOSUPERUSER LOGIN NOREPLICATION VALID UNTIL 'NOSUPERUSER'"
    )
    text = statements.without(said, {"NOSUPERUSER", "NOREPLICATION"}).text
    assert text.split() == [
        "ALTER",
        "ROLE",
        '"NOSUPERUSER"',
        "WITH",
        "LOGIN",
        "VALID",
        "UNTIL",
        "'NOSUPERUSER'",
    ]


def test_who_granted_a_membership_goes_and_the_rest_stays() -> None:
    said = statements.classify(
        Statement(text="GRANT a TO b WITH ADMIN OPTION, INHERIT FALSE GRANTED BY supabase_admin")
    )
    assert statements.without_grantor(said).text == "GRANT a TO b WITH ADMIN OPTION, INHERIT FALSE"
    plain = statements.classify(Statement(text='GRANT a TO "GRANTED BY"'))
    assert statements.without_grantor(plain).text == 'GRANT a TO "GRANTED BY"'

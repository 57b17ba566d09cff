"""What would act on the world is kept out of a restore test, with what is upon it, and named."""

from __future__ import annotations

from holdfast.postgres.acting import acting
from holdfast.postgres.entries import Entry


def entry(number: int, desc: str, tag: str, *upon: int, schema: str | None = "public") -> Entry:
    return Entry(
        dump_id=number,
        table_oid=0,
        oid=number,
        tag=tag,
        desc=desc,
        section="pre-data",
        namespace=schema,
        owner=None,
        has_data=desc == "TABLE DATA",
        dependencies=upon,
    )


def test_an_ordinary_archive_is_left_alone() -> None:
    kept = acting([entry(1, "TABLE", "t"), entry(2, "TABLE DATA", "t", 1), entry(3, "TRIGGER", "t x", 1)])
    assert (kept.out, kept.left_out) == (frozenset(), ())


def test_subscriptions_event_triggers_and_jobs_stay_out_with_their_comments() -> None:
    kept = acting(
        [
            entry(1, "SUBSCRIPTION", "sub", schema=None),
            entry(2, "COMMENT", "SUBSCRIPTION sub", 1, schema=None),
            entry(3, "EVENT TRIGGER", "guard", schema=None),
            entry(4, "TABLE DATA", "job", schema="cron"),
            entry(5, "TABLE DATA", "job"),
        ]
    )
    assert kept.out == {1, 2, 3, 4}
    assert [(item.kind, item.name) for item in kept.left_out] == [
        ("subscription", "sub"),
        ("event trigger", "guard"),
        ("table data", "cron.job"),
    ]


def test_a_materialised_view_over_a_foreign_table_is_not_filled() -> None:
    kept = acting(
        [
            entry(1, "FOREIGN TABLE", "far"),
            entry(2, "VIEW", "seen", 1),
            entry(3, "MATERIALIZED VIEW", "kept", 2),
            entry(4, "MATERIALIZED VIEW DATA", "kept", 3),
            entry(5, "MATERIALIZED VIEW", "above", 3),
            entry(6, "MATERIALIZED VIEW DATA", "above", 5, 4),
            entry(7, "MATERIALIZED VIEW", "near", 9),
            entry(8, "MATERIALIZED VIEW DATA", "near", 7),
            entry(9, "TABLE", "t"),
        ]
    )
    assert kept.out == {4, 6}
    assert {item.name for item in kept.left_out} == {"public.kept", "public.above"}


def test_a_partitioned_table_shows_its_foreign_partitions() -> None:
    kept = acting(
        [
            entry(1, "TABLE", "parent"),
            entry(2, "FOREIGN TABLE", "part"),
            entry(3, "TABLE ATTACH", "part", 1, 2),
            entry(4, "MATERIALIZED VIEW", "m", 1),
            entry(5, "MATERIALIZED VIEW DATA", "m", 4),
        ]
    )
    assert kept.out == {5}


def test_an_extension_is_left_out_by_the_config_with_all_that_needs_it() -> None:
    entries = [
        entry(1, "EXTENSION", "postgis", schema=None),
        entry(2, "TABLE", "places", 1),
        entry(3, "TABLE DATA", "places", 2),
        entry(4, "ACL", "TABLE places", 2),
        entry(5, "TABLE", "other"),
    ]
    assert acting(entries).out == frozenset()
    kept = acting(entries, without_extensions=("postgis",))
    assert kept.out == {1, 2, 3, 4}
    assert [item.name for item in kept.left_out] == ["postgis", "public.places", "public.places"]

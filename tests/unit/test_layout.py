"""Keys are built and parsed by one rule, and no name leaves its folder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model import layout
from holdfast.stores.base import check_key
from support.model_values import backup_ids, names, targets, times, tokens

HARD_NAMES = [
    "app",
    "..",
    ".",
    "/etc/passwd",
    "../../x",
    'quo"te',
    "it's",
    "a b",
    "a.b",
    "a\nb",
    "a\x00b",
    "=41",
    "naïve",
    "数据库",
    "caf\udce9",
    "-rf",
    "x" * 63,
    "é" * 31,
    "A",
    "a",
]


@given(targets, backup_ids(), names)
def test_a_key_is_read_as_it_was_built(target: str, backup_id: str, stem: str) -> None:
    name = layout.part_name(stem, "custom", "zstd", encrypted=True)
    key = layout.key(target, backup_id, name)
    assert layout.parse_key(key) == layout.Location(target=target, backup_id=backup_id, name=name)
    assert key.startswith(layout.backup_prefix(target, backup_id))
    assert key.startswith(layout.target_prefix(target))


@given(st.text(max_size=60) | st.from_regex(r"[a-z./0-9TZ-]{0,60}"))
def test_what_parses_is_a_key_of_the_layout(text: str) -> None:
    location = layout.parse_key(text)
    if location is not None:
        assert layout.key(location.target, location.backup_id, location.name) == text


@given(targets, backup_ids(), names)
def test_every_key_is_one_that_stores_take(target: str, backup_id: str, stem: str) -> None:
    key = layout.key(target, backup_id, layout.part_name(stem, "plain", "none", encrypted=False))
    assert check_key(key) == key


@given(names)
def test_any_name_is_encoded_with_safe_characters_and_decoded_again(name: str) -> None:
    encoded = layout.encode(name)
    assert set(encoded) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-=")
    assert layout.decode(encoded) == name


@given(names, names)
def test_two_names_never_share_an_object(one: str, other: str) -> None:
    assert (layout.encode(one) == layout.encode(other)) == (one == other)


@pytest.mark.parametrize("name", HARD_NAMES)
def test_hard_names_make_object_names(name: str) -> None:
    part = layout.part_name(name, "custom", "zstd", encrypted=True)
    assert layout.check_object_name(part) == part
    assert layout.decode(part.removesuffix(".dump.zst.age")) == name


@given(st.text(max_size=20))
def test_what_decodes_was_encoded(text: str) -> None:
    try:
        decoded = layout.decode(text)
    except ValueError:
        return
    assert layout.encode(decoded) == text


@pytest.mark.parametrize("text", ["=", "=4", "=4g", "=c3", "a/b", "a.b", "é", "=41", "a b"])
def test_what_encode_never_writes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an encoded name|surrogates"):
        layout.decode(text)


@given(times, tokens)
def test_an_id_holds_its_time_to_the_second(now: datetime, token: str) -> None:
    backup_id = layout.new_backup_id(now, token)
    assert layout.backup_time(backup_id) == now.astimezone(UTC).replace(microsecond=0)


@given(times, st.integers(min_value=16, max_value=10**15), tokens, tokens)
def test_ids_sort_by_time(now: datetime, microseconds: int, one: str, other: str) -> None:
    try:
        later = now + timedelta(microseconds=microseconds)
        assert layout.new_backup_id(now, one) < layout.new_backup_id(later, other)
    except OverflowError:  # past the year 9999
        return


@pytest.mark.parametrize(
    "backup_id",
    [
        "",
        "20261122T020000Z",
        "20261122T020000Z-",
        "20261122T020000Z-7f3",
        "20261122T020000Z-7F3A",
        "20261122T020000Z-7f3a\n",
        "20261322T020000Z-7f3a",
        "20260230T020000Z-7f3a",
        "20261122T250000Z-7f3a",
        "20261122T235960Z-7f3a",
        "\u0662\u0660\u0662\u0666\u0661\u0661\u0662\u0662T020000Z-7f3a",  # digits of another script
        "../../../../..../7f3a",
        "20261122T020000Z-" + "0" * 17,
    ],
)
def test_what_is_no_backup_id_is_refused(backup_id: str) -> None:
    with pytest.raises(
        ValueError, match=r"not a backup id|does not match|unconverted|must be in|out of range"
    ):
        layout.check_backup_id(backup_id)
    assert layout.parse_key(f"shop/{backup_id}/manifest.json") is None


@pytest.mark.parametrize("target", ["", "Shop", "..", "a/b", "-a", "_a", "a.b", "a b", "a\n", "é", "a" * 64])
def test_what_cannot_name_a_target_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="cannot name a target"):
        layout.check_target(target)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "é", "a\\b", "a" * 256])
def test_what_cannot_name_an_object_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name an object"):
        layout.check_object_name(name)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "manifest.json",
        "shop/manifest.json",
        "shop/20261122T020000Z-7f3a/",
        "shop/20261122T020000Z-7f3a/a/b",
        "/shop/20261122T020000Z-7f3a/a",
        "shop/20261122T020000Z-7f3a/..",
        ".holdfast-probe/x/y",
    ],
)
def test_what_is_not_of_the_layout_is_no_location(key: str) -> None:
    assert layout.parse_key(key) is None


def test_names_say_how_a_part_is_stored() -> None:
    assert layout.part_name("app", "custom", "zstd", encrypted=True) == "app.dump.zst.age"
    assert layout.part_name("globals", "plain", "none", encrypted=False) == "globals.sql"
    assert layout.part_name("catalog", "json", "zstd", encrypted=False) == "catalog.json.zst"
    assert layout.segment_name("app.dump", 1, numbered=False) == "app.dump"
    assert layout.segment_name("app.dump", 1, numbered=True) == "app.dump.0001"
    assert layout.segment_name("app.dump", 12, numbered=False) == "app.dump.0012"
    assert layout.signature_name(layout.MANIFEST) == "manifest.json.minisig"


def test_an_empty_stem_names_no_part() -> None:
    with pytest.raises(ValueError, match="cannot name an object"):
        layout.part_name("", "custom", "zstd", encrypted=True)


def test_the_detail_of_a_restore_test_is_told_by_its_name() -> None:
    at = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
    for encrypted in (True, False):
        name = layout.detail_name(at, "0123abcd", encrypted=encrypted)
        assert layout.is_detail(name)
        assert layout.mark_kind(name) is None
    with pytest.raises(ValueError, match="detail"):
        layout.detail_name(at, "../x", encrypted=True)

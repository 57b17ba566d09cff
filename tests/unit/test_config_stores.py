"""The stores of the config: their URLs, logins, and the wrappers that their keys ask for."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.config import stores
from holdfast.model.errors import ConfigError
from holdfast.stores.azure import AzureStore
from holdfast.stores.base import Store, is_read_only, layers
from holdfast.stores.gcs import GcsStore
from holdfast.stores.limited import LimitedStore
from holdfast.stores.local import LocalStore
from holdfast.stores.locking import locks_of
from holdfast.stores.read_only import ReadOnlyStore
from holdfast.stores.retrying import RetryingStore
from support.config import BASE, CONTAINER, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path)


def opened(place: Place, text: str) -> Store:
    settings = place.load(f"{BASE}\n[stores.off]\n{text}\n").stores["off"]
    return stores.open_store("off", settings)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("gs://bucket", "gs://bucket"),
        ("gs://bucket/a/b/", "gs://bucket/a/b"),
        ("GS://bucket/a", "gs://bucket/a"),
        ("azblob://acc/box", "azblob://acc/box"),
        ("azblob://acc/box/a/b/", "azblob://acc/box/a/b"),
    ],
)
def test_a_url_stands_for_a_store_in_a_cloud(place: Place, url: str, location: str) -> None:
    store = opened(place, f"url = '{url}'")
    assert isinstance(store, GcsStore if location.startswith("gs") else AzureStore)
    assert (store.name, store.location) == ("off", location)


def test_a_container_names_a_store_in_a_cloud_by_its_url(place: Place) -> None:
    environment = {**CONTAINER, "HOLDFAST_STORE": "azblob://acc/box/shop"}
    environment["HOLDFAST_STORES__MAIN__ACCOUNT_KEY"] = "c2VjcmV0"
    config = place.load("", overrides=None, **environment)
    assert config.stores["main"].model_dump(exclude_defaults=True)["container"] == "box"
    assert "c2VjcmV0" in config.secrets()


def test_the_logins_of_clouds_may_lie_in_files(place: Place) -> None:
    for name in ("google", "key", "sas"):
        (place.folder / name).write_text(f"the {name}\n")
    config = place.load(
        BASE
        + "[stores.g]\nurl = 'gs://b'\ncredentials_file = 'google'\n"
        + "[stores.k]\nurl = 'azblob://a/b'\naccount_key_file = 'key'\n"
        + "[stores.s]\nurl = 'azblob://a/c'\nsas_token_file = 'sas'\n"
    )
    assert set(config.secrets()) == {"the google", "the key", "the sas"}
    assert "the key" not in repr(config.stores)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url = 'azblob://acc'", "stores.off.url: azblob://account/container/prefix was expected"),
        ("url = 'azblob://acc/box?sv=1'", "stores.off.url: azblob://account/container/prefix was expected"),
        ("url = 'gs://'", "stores.off.url: gs://bucket/prefix was expected"),
        ("url = 'gs://b/../c'", "stores.off.url: a path such as"),
        (
            "url = 'azblob://a/b'\naccount_key = 'x'\nsas_token = 'y'",
            "stores.off: account_key, sas_token and client_id",
        ),
        ("url = 'gs://b'\nanonymous = true\ncredentials = 'x'", "stores.off: anonymous and credentials are"),
        ("url = 'azblob://a/b'\naccess_tier = 'Archive'", "stores.off.access_tier: "),
        (
            "url = 's3://b'\nobject_lock = 'compliance'\nobject_lock_max = '1d'",
            "stores.off: object_lock_first is longer than object_lock_max",
        ),
        ("url = '/x'\nobject_lock = 'compliance'", "stores.off.object_lock: unknown key; it belongs to type"),
        ("url = '/x'\nbandwidth_limit = 'fast'", "stores.off.bandwidth_limit: bytes a second were expected"),
        ("url = '/x'\nbandwidth_limit = 10", "stores.off.bandwidth_limit: 1 KiB a second is the least"),
        (
            "url = '/x'\nread_only = true\n[targets.t]\nstores = ['off']",
            "targets.t.stores: the store off is read_only",
        ),
    ],
)
def test_what_makes_no_sense_is_named(place: Place, text: str, said: str) -> None:
    assert said in place.refused(f"{BASE}\n[stores.off]\n{text}\n").message


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20MB", 20e6),
        ("512KiB", 524288),
        ("1.5 m/s", 1.5e6),
        ("2GiB/s", 2 * 1024**3),
        ("4096", 4096),
        ("off", None),
    ],
)
def test_a_rate_is_read_as_people_write_it(place: Place, text: str, rate: float | None) -> None:
    config = place.load(f"{BASE}\n[stores.off]\nurl = '/x'\nbandwidth_limit = '{text}'\n")
    assert config.stores["off"].bandwidth_limit == rate


def test_the_wrappers_lie_around_each_other_in_order(place: Place) -> None:
    store = opened(place, "url = '/x'\nread_only = true\nbandwidth_limit = '1MB'\ndeadline = '1m'")
    assert [type(one) for one in layers(store)] == [ReadOnlyStore, LimitedStore, RetryingStore, LocalStore]
    assert [type(one) for one in layers(store, changing=True)] == [ReadOnlyStore]
    assert is_read_only(store)


def test_nothing_is_written_to_a_read_only_store_that_no_target_names(place: Place) -> None:
    config = place.load(f"{BASE}\n[stores.off]\nurl = '/x'\nread_only = true\n")
    assert config.targets()[0].stores == ("disk",)


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("gs://bucket", "google.cloud.storage", "holdfast[gcs]"),
        ("azblob://acc/box", "azure.storage.blob", "holdfast[azure]"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    place: Place, monkeypatch: pytest.MonkeyPatch, url: str, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"store off: the package .* is not installed") as caught:
        opened(place, f"url = '{url}'")
    assert package in (caught.value.hint or "")


def test_no_library_of_a_cloud_is_imported_before_a_store_is_made() -> None:
    code = (
        "import sys, holdfast.config.loading, holdfast.stores.gcs, holdfast.stores.azure;"
        "print([name for name in ('google.auth', 'google.cloud', 'azure.core', 'boto3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("url", ["s3://bucket", "gs://bucket", "azblob://acc/box"])
def test_what_belongs_to_a_backup_is_locked_and_nothing_else(place: Place, url: str) -> None:
    store = opened(place, f"url = '{url}'\nobject_lock = 'compliance'\nobject_lock_first = '1d'")
    locks = locks_of(store)
    assert locks is not None
    rule = locks.rule
    assert rule is not None
    until = rule.at_put("shop/20261122T020000Z-7f3a/manifest.json")
    assert until is not None
    assert abs(until - rule.now() - timedelta(days=1)) < timedelta(seconds=5)
    assert rule.at_put(".holdfast-probe/1") is None
    assert rule.at_put("lease.json") is None
    assert rule.check(until) == until
    with pytest.raises(ValueError, match="object_lock_max"):
        rule.check(rule.now() + timedelta(days=36))


def test_nothing_is_locked_unasked(place: Place) -> None:
    locks = locks_of(opened(place, "url = 's3://bucket'"))
    assert locks is not None
    assert locks.rule is None


def test_a_cloud_lies_elsewhere_and_a_disk_does_not_unless_the_config_says_so(place: Place) -> None:
    said = (
        BASE
        + "[stores.far]\nurl = '/mnt'\noff_site = true\n[stores.cloud]\nurl = 's3://b'\nobject_lock = 'governance'\n"
    )
    config = place.load(said + "[stores.near]\nurl = 's3://b/p'\noff_site = false\n")
    assert config.configured().off_site == {"far", "cloud"}
    places = config.targets()[0].places
    assert {name: (each.off_site, each.lock) for name, each in places.items()} == {
        "disk": (False, None),
        "far": (True, None),
        "cloud": (True, "governance"),
        "near": (False, None),
    }


def test_more_copies_than_stores_are_refused(place: Place) -> None:
    assert place.load(BASE + "require_copies = 1\n").configured().copies == {}
    refused = place.refused(BASE + "require_copies = 2\n")
    assert "2 copies are more than one store can hold" in refused.message
    two = BASE.replace("[targets", "[stores.other]\nurl = '/b'\n[targets") + "require_copies = 2\n"
    assert place.load(two).configured().copies == {"shop": 2}


@pytest.mark.parametrize(
    "text",
    [
        "[stores.off]\npath = './backups/'\ntype = 'local'",
        "[stores.a]\nurl = 's3://b/p'\n[stores.off]\nurl = 's3://b//p/'",
        "[stores.a]\nurl = 'azblob://acc/b/p'\n[stores.off]\nurl = 'azblob://acc/b/p/'\naccess_tier = 'Hot'",
        (
            "[stores.a]\nurl = 's3://b/p'\nendpoint_url = 'https://H:1'\n"
            "[stores.off]\nurl = 's3://b/p'\nendpoint_url = 'https://h:1/'"
        ),
    ],
)
def test_one_place_under_two_names_is_no_second_copy(place: Place, text: str) -> None:
    said = place.refused(f"{BASE}\n{text}\n").message
    assert "stores.off: it is the same place as the store " in said


def test_one_place_may_have_a_name_for_each_target_and_one_to_read_from(place: Place) -> None:
    place.load(
        "[stores.a]\nurl = 's3://b/p'\naccess_key_id = 'x'\nsecret_access_key = 'y'\n"
        "[stores.b]\nurl = 's3://b/p'\n[stores.c]\nurl = 's3://b/p'\nendpoint_url = 'https://other'\n"
        f"{BASE}\nstores = ['disk', 'a', 'c']\n[targets.blog]\nurl = 'postgresql://blog'\nstores = ['b']\n"
    )
    place.load(f"{BASE}\n[stores.again]\npath = 'backups'\ntype = 'local'\nread_only = true\n")

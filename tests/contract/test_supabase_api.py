"""What the client of Supabase's management API reads, waits for, refuses to believe, and says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from datetime import time as time_of_day

import pytest

from holdfast.model.errors import CancelledError, ConfigError, Error, ProviderError
from holdfast.providers import supabase_api as supabase_api_client
from holdfast.providers.exchange import Bounds
from holdfast.providers.supabase_api import SupabaseApi
from holdfast.system.stop import Stop
from support.receivers import closed_port
from support.supabase_api_server import REF, TOKEN, Fault, Platform, pooler, supabase_api

CUTOFF = Bounds(step=0.3, total=0.3)


@pytest.fixture
def platform() -> Iterator[Platform]:
    with supabase_api() as running:
        yield running


@pytest.fixture
def api(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> SupabaseApi:
    monkeypatch.setattr(supabase_api_client, "_FIRST_PAUSE", 0.05)
    return SupabaseApi(ref=REF, token=TOKEN, url=platform.url, patience=5)


@pytest.fixture
def hasty(api: SupabaseApi) -> SupabaseApi:
    return replace(api, patience=0)


def refused(call: Callable[[], object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        call()
    assert TOKEN not in f"{caught.value.message} {caught.value.hint} {caught.value!r}"
    return caught.value


def test_the_project_is_read(api: SupabaseApi) -> None:
    found = api.standing()
    assert (found.status, found.name, found.server_version) == ("ACTIVE_HEALTHY", "shop", "17.6.1.054")


def test_backups_are_read_newest_first_and_only_completed_ones_count(
    api: SupabaseApi, platform: Platform
) -> None:
    platform.backups["physical_backup_data"] = {}
    found = api.backups()
    assert [(each.id, each.status) for each in found.backups] == [(42, "FAILED"), (41, "COMPLETED")]
    assert found.last_success == datetime(2026, 11, 21, 2, 10, 0, 123000, tzinfo=UTC)


def test_the_window_of_points_in_time_is_read(api: SupabaseApi) -> None:
    found = api.backups()
    assert found.window == (datetime(2026, 11, 15, 2, tzinfo=UTC), datetime(2026, 11, 22, 10, tzinfo=UTC))
    assert found.last_success == datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_no_backups_at_all_are_no_success(api: SupabaseApi, platform: Platform) -> None:
    platform.backups = {
        "region": "us-east-1",
        "pitr_enabled": False,
        "walg_enabled": True,
        "backups": [],
        "physical_backup_data": {},
    }
    found = api.backups()
    assert (found.backups, found.window, found.last_success) == ((), None, None)


def test_a_window_of_zeros_is_none(api: SupabaseApi, platform: Platform) -> None:
    zeros = {"earliest_physical_backup_date_unix": 0, "latest_physical_backup_date_unix": 0}
    platform.backups = {**platform.backups, "backups": [], "physical_backup_data": zeros}
    found = api.backups()
    assert (found.window, found.last_success) == (None, None)


def test_a_time_that_no_calendar_has_is_refused(api: SupabaseApi, platform: Platform) -> None:
    platform.schedule = {"schedule_for": "02:00:00", "updated_at": "9999-12-31T23:59:59-23:59"}
    with pytest.raises(ProviderError, match="updated_at is not a time"):
        api.schedule()


def test_the_schedule_is_read_and_set(api: SupabaseApi, platform: Platform) -> None:
    assert api.schedule().at == time_of_day(2, 0)
    assert api.set_schedule(time_of_day(4, 30)).at == time_of_day(4, 30)
    assert json.loads(platform.got[-1].body) == {"schedule_for": "04:30:00"}


def test_a_point_in_time_is_sent_as_a_whole_number(api: SupabaseApi, platform: Platform) -> None:
    api.restore_to(datetime(2026, 11, 22, 10, 0, 0, 900000, tzinfo=UTC))
    assert json.loads(platform.got[-1].body) == {"recovery_time_target_unix": 1795341600}
    with pytest.raises(ValueError, match="after 1970"):
        api.restore_to(datetime(1970, 1, 1, tzinfo=UTC))
    assert platform.restored_to == [1795341600]


def test_poolers_are_read_and_their_user_has_the_ref(api: SupabaseApi, platform: Platform) -> None:
    platform.poolers = [
        pooler(db_user="postgres"),
        pooler(database_type="READ_REPLICA", connection_string=None),
    ]
    first, second = api.poolers()
    assert (first.host, first.port, first.user, first.mode, first.primary) == (
        "aws-1-eu-central-1.pooler.supabase.com",
        6543,
        f"postgres.{REF}",
        "transaction",
        True,
    )
    assert (second.user, second.primary) == (f"postgres.{REF}", False)


def test_the_rest_is_read(api: SupabaseApi, platform: Platform) -> None:
    platform.banned = ["192.0.2.7"]
    assert api.addons() == ("pitr_7",)
    assert not api.read_only()
    assert api.banned() == ("192.0.2.7",)
    assert api.function_slugs() == ("hello",)
    assert api.read("/functions/hello/body").body == b"EZBR\x00\x01the bundle of hello"


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "make a new one"), (402, "plan"), (403, "may not"), (404, "project_ref"), (302, "Redirects")],
)
def test_a_refusal_is_explained_and_not_tried_again(
    api: SupabaseApi, platform: Platform, status: int, hint: str
) -> None:
    platform.faults.append(Fault(status=status, body=f'{{"message":"no, {TOKEN}"}}'.encode()))
    error = refused(api.backups)
    assert error.status == status
    assert hint in (error.hint or "")
    assert f"127.0.0.1 answered {status}" in error.message
    assert "no, ***" in error.message
    assert len(platform.got) == 1


def test_a_wrong_token_is_said(platform: Platform) -> None:
    other = SupabaseApi(ref=REF, token="sbp_wrong", url=platform.url)
    assert refused(other.standing).status == 401


def test_the_limit_of_requests_is_waited_out(api: SupabaseApi, platform: Platform) -> None:
    platform.quota = 0
    began = time.monotonic()
    assert api.schedule().at == time_of_day(2, 0)
    assert time.monotonic() - began >= 1
    assert len(platform.got) == 2


@pytest.mark.parametrize("header", ["X-RateLimit-Reset", "Retry-After"])
def test_a_limit_that_lasts_longer_than_the_patience_is_told_at_once(
    api: SupabaseApi, platform: Platform, header: str
) -> None:
    platform.faults.append(Fault(status=429, headers={header: "3600"}))
    began = time.monotonic()
    assert refused(api.backups).status == 429
    assert time.monotonic() - began < 1


def test_what_was_refused_unread_is_sent_again_even_if_it_changes_things(
    api: SupabaseApi, platform: Platform
) -> None:
    platform.faults.append(Fault(status=429))
    api.set_schedule(time_of_day(5, 0))
    assert platform.asked() == ["PATCH /database/backups/schedule"] * 2


def test_a_restore_is_never_sent_twice(api: SupabaseApi, platform: Platform) -> None:
    platform.faults.append(Fault(status=502))
    refused(lambda: api.restore_to(datetime(2026, 11, 22, tzinfo=UTC)))
    assert len(platform.got) == 1


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=200, body=b'{"region":"x"}', cut=5)])
def test_what_breaks_for_the_moment_is_asked_again(
    api: SupabaseApi, platform: Platform, fault: Fault
) -> None:
    platform.faults.append(fault)
    assert api.backups().pitr
    assert len(platform.got) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>welcome</html>", "not JSON"),
        (b"", "not JSON"),
        (b'{"region": "x", "pitr_enabled": tr', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "the whole is not an object"),
        (b'{"region":"x","pitr_enabled":"yes","backups":[]}', "pitr_enabled is not true or false"),
        (b'{"region":"x","pitr_enabled":true}', "backups is missing"),
        (b'{"region":"x","pitr_enabled":true,"backups":[{}]}', r"backups[0].inserted_at is missing"),
        (
            b'{"region":"x","pitr_enabled":true,"backups":[],"physical_backup_data":{"earliest_physical_backup_date_unix":1,"latest_physical_backup_date_unix":1e99}}',
            "latest_physical_backup_date_unix is not a time",
        ),
    ],
)
def test_an_answer_of_another_shape_is_refused_and_its_place_named(
    hasty: SupabaseApi, platform: Platform, body: bytes, said: str
) -> None:
    platform.faults.append(Fault(status=200, body=body))
    assert said in refused(hasty.backups).message


def test_an_answer_that_breaks_off_or_is_too_long_is_refused(hasty: SupabaseApi, platform: Platform) -> None:
    platform.faults.append(Fault(status=200, body=b'{"region":"x"}', cut=3))
    assert "broke off after 11 of 14 bytes" in refused(hasty.backups).message
    platform.faults.append(Fault(status=200, body=b"x" * 2000))
    assert "more than 1000 bytes" in refused(replace(hasty, bounds=Bounds(size=1000)).backups).message


def test_nobody_is_waited_for_for_ever(hasty: SupabaseApi, platform: Platform) -> None:
    platform.faults.append(Fault(hang=True))
    assert "no answer" in refused(replace(hasty, bounds=CUTOFF).backups).message
    nobody = replace(hasty, url=f"http://127.0.0.1:{closed_port()}")
    assert refused(nobody.backups).status is None


def test_a_stop_ends_the_waiting(api: SupabaseApi, platform: Platform) -> None:
    stop = Stop()
    platform.faults.append(Fault(status=429, headers={"Retry-After": "4"}))
    threading.Timer(0.1, stop.request).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        replace(api, stop=stop).backups()
    assert time.monotonic() - began < 2


def test_the_token_is_not_sent_in_the_clear_over_a_network() -> None:
    far = SupabaseApi(ref=REF, token=TOKEN, url="http://api.example.com")
    with pytest.raises(ConfigError, match="does not begin with https") as caught:
        far.backups()
    assert isinstance(caught.value, Error)
    assert TOKEN not in repr(far)

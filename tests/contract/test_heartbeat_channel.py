from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from contract.notify_contract import QUICK, ChannelContract, Far, far_of
from holdfast.model.event import Kind
from holdfast.notify.heartbeat import Heartbeat
from support.notify_values import SECRET, event
from support.receivers import Receiver, closed_port


def channel(url: str, path: str = "") -> Heartbeat:
    return Heartbeat(name="ops", url=f"{url}/{SECRET}{path}", limits=QUICK)


class TestHeartbeat(ChannelContract):
    tells = ("start", "success", "failure", "test")

    @pytest.fixture
    def far(self, receiver: Receiver) -> Far:
        return far_of(receiver, channel(receiver.url), channel(f"http://127.0.0.1:{closed_port()}"))


@pytest.mark.parametrize(
    ("kind", "path"), [("start", "/start"), ("success", ""), ("failure", "/fail"), ("test", "/log")]
)
def test_each_kind_has_its_path(receiver: Receiver, kind: Kind, path: str) -> None:
    channel(receiver.url).send(event(kind))
    assert urlsplit(receiver.next().path).path == f"/{SECRET}{path}"


def test_start_and_end_of_a_run_have_the_same_id_and_other_runs_another(receiver: Receiver) -> None:
    ids = []
    for sent in (event("start"), event("success", bytes_done=5), event("start", run_id=8)):
        channel(receiver.url).send(sent)
        ids.append(parse_qs(urlsplit(receiver.next().path).query)["rid"])
    assert ids[0] == ids[1] != ids[2]


def test_the_url_may_name_the_target_and_the_job_and_keeps_its_query(receiver: Receiver) -> None:
    channel(receiver.url, "/{target}-{job}?create=1").send(event("failure", job="restore_test"))
    found = urlsplit(receiver.next().path)
    assert found.path == f"/{SECRET}/shop-restore_test/fail"
    assert parse_qs(found.query)["create"] == ["1"]


def test_the_end_of_a_long_log_is_sent(receiver: Receiver) -> None:
    channel(receiver.url).send(event("failure", log="ä" * 20_000 + "the end"))
    body = receiver.next().body
    assert 9_990 < len(body) <= 10_000
    assert body.decode().endswith("the end")


def test_a_monitor_is_not_told_what_it_finds_out_by_itself(receiver: Receiver) -> None:
    kinds: tuple[Kind, ...] = ("recovery", "anomaly", "overdue", "loss")
    for kind in kinds:
        channel(receiver.url).send(event(kind))
    assert receiver.got.empty()

"""How long a request to a store is tried again, and when it is not."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from botocore.exceptions import EndpointConnectionError

from holdfast.model.errors import StoreError
from holdfast.stores import s3_errors
from holdfast.stores.requests import Requests


class Endpoint:
    """Somebody who is there or not; counts who knocked."""

    def __init__(self) -> None:
        self.away = True
        self.knocks = 0

    def __call__(self) -> str:
        self.knocks += 1
        if self.away:
            raise EndpointConnectionError(endpoint_url="http://s3")
        return "yes"


@pytest.fixture
def requests() -> Requests:
    return Requests(dialect=s3_errors, where="s3://b", patience=0.3, pause=0.01)


def knocks(requests: Requests, endpoint: Endpoint) -> int:
    """How often a request is tried before it fails."""
    before = endpoint.knocks
    with pytest.raises(StoreError, match="cannot look"):
        requests.send(endpoint, "look")
    return endpoint.knocks - before


def test_a_store_that_was_just_given_up_is_tried_once_at_a_time(requests: Requests) -> None:
    endpoint = Endpoint()
    assert knocks(requests, endpoint) > 2
    assert [knocks(requests, endpoint) for _ in range(3)] == [1, 1, 1]


def test_a_store_that_answered_again_is_waited_for_again(requests: Requests) -> None:
    endpoint = Endpoint()
    knocks(requests, endpoint)
    endpoint.away = False
    assert requests.send(endpoint, "look") == "yes"
    endpoint.away = True
    assert knocks(requests, endpoint) > 2


def test_a_store_that_was_given_up_long_ago_is_waited_for_again(requests: Requests) -> None:
    endpoint = Endpoint()
    knocks(requests, endpoint)
    time.sleep(0.35)
    assert knocks(requests, endpoint) > 2


def test_nobody_waits_for_a_store_when_the_work_is_to_end(requests: Requests) -> None:
    patient = replace(requests, patience=60.0, pause=40.0)
    endpoint = Endpoint()
    threading.Timer(0.2, patient.hurry).start()
    began = time.monotonic()
    assert knocks(patient, endpoint) == 1
    assert knocks(patient, endpoint) == 1
    assert time.monotonic() - began < 5

"""Rows of zstd frames for tests: made of small frames, and cut into frames again."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING
from unittest import mock

from hypothesis import strategies as st

from holdfast.streams import compress

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAMES = st.sampled_from([1, 7, 64, 300, 5000])


@contextlib.contextmanager
def small_frames(size: int) -> Iterator[None]:
    """Let frames hold so few bytes that a short test has many of them."""
    with mock.patch.object(compress, "FRAME_BYTES", size):
        yield


def frames_of(packed: bytes) -> list[bytes]:
    """Cut a row of frames, the skippable ones among them."""
    frames = []
    while packed:
        size = zstd.get_frame_size(packed)
        frames.append(packed[:size])
        packed = packed[size:]
    return frames

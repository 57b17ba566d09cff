"""How the command begins and ends."""

from __future__ import annotations

import gc
import sys

import pytest


def test_a_command_ends_without_looking_for_garbage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = gc.get_threshold()
    monkeypatch.setattr(sys, "argv", ["holdfast", "--version"])
    try:
        from holdfast.__main__ import main  # noqa: PLC0415 - it changes when garbage is looked for

        with pytest.raises(SystemExit) as ended:
            main()
        frozen = gc.get_freeze_count()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
    assert (ended.value.code, capsys.readouterr().out.split()[0]) == (0, "holdfast")
    assert frozen > 10_000

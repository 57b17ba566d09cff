"""What `holdfast init` writes is a config that loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config import sources
from holdfast.starter import Answers, starter_config
from support.config import RECIPIENT, Place, schedule_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(sources, "RUN_SECRETS", tmp_path / "none")
    return Place(folder=tmp_path)


@pytest.mark.parametrize(
    "answers",
    [
        Answers(recipients=(RECIPIENT,)),
        Answers(encrypt=False),
        Answers(
            target="shop",
            url='host=h user="\\ü\x7f\n"',
            password_file="/run/p",
            databases=("a", 'b"c'),
            store="s3://bucket/prefix",
            recipients=(RECIPIENT,),
            identity_file="id.txt",
            schedule="5 4 * * 0",
            timezone="Europe/Berlin",
            state_dir="/srv/state",
        ),
    ],
)
def test_a_starter_config_loads_with_the_answers(place: Place, answers: Answers) -> None:
    text = starter_config(answers)
    if answers.password_file:
        (place.folder / "pw").write_text("pw")
        text = text.replace(answers.password_file, str(place.folder / "pw"))
    config = place.load(text)
    (target,) = config.targets()
    assert (target.name, target.url, target.databases) == (answers.target, answers.url, answers.databases)
    assert (schedule_of(target), config.daemon.timezone) == (answers.schedule, answers.timezone)
    assert config.recipients == answers.recipients
    assert config.encryption.enabled == answers.encrypt


def test_a_starter_config_without_recipient_says_what_is_missing(place: Place) -> None:
    error = place.refused(starter_config(Answers()))
    assert "no recipients" in error.message
    assert "holdfast keygen" in str(error.hint)

"""`holdfast init` as a person uses it, on a terminal, and as a script does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from holdfast.config.loading import load
from support.config import RECIPIENT
from support.home import called
from support.terminal import Terminal
from support.world import cli

PROMPTS = ("PostgreSQL server", "Store", "Recipient")
INIT = (sys.executable, "-m", "holdfast", "init")


def _converse(folder: Path, answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    terminal = Terminal(INIT, folder)
    for prompt, answer in answers:
        terminal.wait_for(prompt)
        terminal.answer(answer)
    return terminal.end(), terminal.text


def test_the_answers_stand_in_the_config(tmp_path: Path) -> None:
    answers = ("postgresql://backup@db.example/app", "s3://acme-backups/pg", RECIPIENT)
    code, text = _converse(tmp_path, list(zip(PROMPTS, answers, strict=True)))
    assert code == 0, text
    path = tmp_path / "holdfast.toml"
    config = load(path, environ={"HOME": str(tmp_path)})
    assert config.targets()[0].url == answers[0]
    assert config.recipients == (RECIPIENT,)
    assert "acme-backups" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600  # a password may stand in it
    assert "holdfast check" in text


def test_empty_answers_take_the_defaults_and_what_is_missing_is_said(tmp_path: Path) -> None:
    code, text = _converse(tmp_path, [(prompt, "") for prompt in PROMPTS])
    assert code == 0, text
    written = (tmp_path / "holdfast.toml").read_text()
    assert 'url = "/var/backups/holdfast"' in written
    assert "\n# recipients = " in written
    assert "holdfast keygen" in text.splitlines()[-1]
    assert "[]" not in text


def test_a_wrong_answer_is_asked_again_with_the_reason(tmp_path: Path) -> None:
    code, text = _converse(
        tmp_path,
        [
            (PROMPTS[0], "postgresql://host:port:1/x?y=1"),
            (PROMPTS[0], "postgresql://localhost"),
            (PROMPTS[1], "ftp://bucket"),
            (PROMPTS[1], ""),
            (PROMPTS[2], "age1nonsense"),
            (PROMPTS[2], RECIPIENT),
        ],
    )
    assert code == 0, text
    assert "malformed PostgreSQL URL" in text
    assert "is not a recipient" in text
    assert RECIPIENT in (tmp_path / "holdfast.toml").read_text()


@pytest.mark.extended
def test_an_interrupt_writes_nothing(tmp_path: Path) -> None:
    terminal = Terminal(INIT, tmp_path)
    terminal.wait_for(PROMPTS[0])
    assert terminal.interrupt() == 130
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    done = cli("init", "--store", "/backups", "--recipient", RECIPIENT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "holdfast.toml", environ={"HOME": "/"}).recipients == (RECIPIENT,)


def test_the_signing_key_that_keygen_left_there_is_used(tmp_path: Path) -> None:
    made = called("keygen", "-o", "identity.txt", cwd=tmp_path)
    done = called("init", "--recipient", made.stdout.strip(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = load(tmp_path / "holdfast.toml", environ={"HOME": "/"})
    assert config.signing_key_file == tmp_path / "holdfast-signing.key"
    assert config.encryption.identity_file is None  # a host that writes need not read


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--recipient", "age1nonsense"), 23, "is not a recipient"),
        (("--url", "postgresql://host:port:1/x?y=1"), 10, "malformed PostgreSQL URL"),
        (("--store", "ftp://bucket"), 10, "file:///path or a path was expected"),
        (("--store", "/backups/\udcff"), 2, "that is not UTF-8"),
        (("-o", "missing/holdfast.toml"), 10, "cannot write missing/holdfast.toml"),
        (("-o", "there.toml"), 10, "there.toml exists"),
    ],
)
@pytest.mark.sampled(2)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "there.toml").write_text("mine")
    done = called("init", *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "internal" not in done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_script_is_read_and_what_was_understood_is_said(tmp_path: Path) -> None:
    script = tmp_path / "backup.sh"
    script.write_text((Path(__file__).parents[1] / "support" / "cron" / "functions.sh").read_text())
    done = called("init", "--from-script", "backup.sh", "--recipient", RECIPIENT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (target,) = load(tmp_path / "holdfast.toml", environ={"HOME": str(tmp_path)}).targets()
    assert target.databases == ("orders", "customers")
    assert "databases: orders, customers" in done.stdout
    assert "line 18: curl" in done.stdout
    assert (
        "holdfast import s3://company-backups/postgres --pattern '{database}_%Y%m%d%H%M%S.dump.gz.enc'"
        in done.stdout
    )
    assert "topsecret" not in done.stdout + done.stderr + (tmp_path / "holdfast.toml").read_text()

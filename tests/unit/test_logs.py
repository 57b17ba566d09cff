"""Log lines go to stderr, say what they say, and hold no secret."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from datetime import datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from holdfast.system import logs


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "_secrets", set())
    root = logging.getLogger()
    level = root.level
    yield
    structlog.reset_defaults()
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if handler.get_name() == "holdfast"]:
        root.removeHandler(handler)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_console_line_is_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logs.get_logger(target="shop").info("backup finished", size=1234)
    (line,) = lines(capsys)
    assert line.endswith("backup finished size=1234 target=shop")
    assert "info" in line
    assert "\x1b" not in line
    assert datetime.fromisoformat(line.split()[0]).utcoffset() is not None


def test_a_json_line_is_one_object_with_utc_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")
    logs.get_logger(target="größe").warning("late", seconds=1.5, parts=["a", 2], nothing=None)
    (line,) = lines(capsys)
    value = json.loads(line)
    assert value.pop("timestamp").endswith("Z")
    assert value == {
        "event": "late",
        "level": "warning",
        "target": "größe",
        "seconds": 1.5,
        "parts": ["a", 2],
        "nothing": None,
    }


def test_levels_and_quiet_leave_lines_out(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.get_logger()
    logs.configure(level="warning")
    log.info("no")
    log.warning("yes")
    logs.configure(level="debug", quiet=True)
    log.info("no")
    log.error("yes")
    logs.configure(level="debug")
    log.debug("yes")
    assert [("yes" in line, "no" in line.split()) for line in lines(capsys)] == [(True, False)] * 3


def test_a_logger_without_settings_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logs.get_logger().info("hello")
    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("form", ["console", "json"])
def test_an_exception_is_shown_without_variables_and_secrets(
    form: logs.Format, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(format=form)
    logs.register_secret("hunter2")

    def connect(local: str) -> None:
        raise ValueError(f"postgresql://u:{'pw'}@h refused hunter2 of length {len(local)}")

    try:
        connect("ONLY IN A VARIABLE".lower())  # lower: the line itself is shown
    except ValueError:
        logs.get_logger().exception("failed")
    text = "\n".join(lines(capsys))
    assert "ValueError: postgresql://u:***@h refused *** of length 18" in text
    assert "Traceback" in text
    assert "only in a variable" not in text


def test_libraries_are_heard_and_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")
    logging.getLogger("botocore").warning("retrying %s", "https://key:pw@s3/")
    logging.getLogger("botocore").info("not this")
    (line,) = lines(capsys)
    assert json.loads(line)["event"] == "retrying https://key:***@s3/"
    assert json.loads(line)["level"] == "warning"


def test_configuring_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logs.configure()
    logging.getLogger("apscheduler").error("once")
    assert len(lines(capsys)) == 1


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("password", True),
        ("pg_password", True),
        ("PGPASSWORD", False),
        ("passphrase", True),
        ("client_secret", True),
        ("token", True),
        ("secret_access_key", True),
        ("private_key", True),
        ("key", False),
        ("passed", False),
        ("tokens_left", True),
    ],
)
def test_values_with_secret_names_are_struck_out(
    name: str, *, hidden: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(format="json")
    logs.get_logger().info("event", **{name: "value", "deep": [{name: "value"}]})
    value = json.loads(lines(capsys)[0])
    expected = "***" if hidden else "value"
    assert value[name] == expected
    assert value["deep"][0][name] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:***@h/db"),
        ("at postgres://u:p:q@h:5432/db, then", "at postgres://u:***@h:5432/db, then"),
        ("postgresql://u:p@ss@h/db", "postgresql://u:***@h/db"),
        ("postgresql://:p@h/db", "postgresql://:***@h/db"),
        ("s3+https://a:b@h and x://c:d@i", "s3+https://a:***@h and x://c:***@i"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("https://h:9000/path?x=a@b", "https://h:9000/path?x=a@b"),
        ("host=h password=abc user=u", "host=h password=*** user=u"),
        ("host=h password='a b\\' c' user=u", "host=h password=*** user=u"),
        ("postgresql://h/db?user=u&password=abc&x=1", "postgresql://h/db?user=u&password=***&x=1"),
        ("PGPASSWORD=abc pg_dump", "PGPASSWORD=*** pg_dump"),
        ("backup finished", "backup finished"),
    ],
)
def test_passwords_in_text_are_struck_out(text: str, expected: str) -> None:
    assert logs.redacted(text) == expected


@given(st.text(st.characters(exclude_characters="*"), min_size=4), st.text(), st.text())
def test_a_registered_secret_is_nowhere(secret: str, before: str, after: str) -> None:
    logs._secrets.clear()
    logs.register_secret(secret)
    assert secret not in logs.redacted(before + secret + after)


def test_registered_secrets_are_found_in_their_other_spellings() -> None:
    logs.register_secret("p@ss/wo'rd")
    logs.register_secret("p@ss")
    logs.register_secret("")
    assert logs.redacted("p@ss/wo'rd p%40ss%2Fwo%27rd p@ss x") == "*** *** *** x"


def test_what_is_too_short_for_a_secret_spoils_no_text() -> None:
    logs._secrets.clear()
    logs.register_secret("a")
    logs.register_secret("app")
    assert logs.redacted("cannot reach app, password=app") == "cannot reach app, password=***"


def test_the_module_is_cheap_to_import() -> None:
    code = "import sys, holdfast.system.logs; print('structlog' in sys.modules, 'rich' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    ).stdout
    assert printed.split() == ["False", "False"]


def test_a_console_line_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logs.get_logger().warning("table \x1b[2J\u202e gone", name="\x9b2J\udce9")
    (line,) = lines(capsys)
    assert "table \\x1b[2J\\u202e gone" in line
    assert "\\x9b2J\\udce9" in line


@given(st.text(st.characters()))
def test_printable_text_can_be_printed_anywhere_and_ordinary_text_is_as_it_was(text: str) -> None:
    shown = logs.printable(text)
    assert all(letter in "\n\t" or unicodedata.category(letter) != "Cc" for letter in shown)
    shown.encode()  # no lone surrogate is left
    if text.isprintable() or not text.strip("\n\t"):
        assert shown == text


def test_what_is_done_for_a_run_is_told_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")
    log = logs.get_logger()
    with logs.about(job="verify", target="shop"):
        log.info("before")
        with logs.about(run_id=8, job="copy"):
            logs.learn(run_id=7)
            log.info("inside", target="another")
        logs.learn(run_id=9)
        log.info("after")
        logging.getLogger("library").warning("too")
    log.info("outside")
    about = [
        tuple(json.loads(line).get(name) for name in ("run_id", "job", "target")) for line in lines(capsys)
    ]
    assert about == [
        (None, "verify", "shop"),
        (8, "copy", "another"),
        (7, "verify", "shop"),
        (7, "verify", "shop"),
        (None, None, None),
    ]


def test_threads_do_not_mix_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json")
    both = threading.Barrier(2)

    def work(number: int) -> None:
        with logs.about(run_id=number):
            both.wait(5)
            logs.get_logger().info("here", number=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = [json.loads(line) for line in lines(capsys)]
    assert [value["run_id"] for value in values] == [value["number"] for value in values]

"""A backup script is understood from its text, however it is written; it is never run, and its secrets stay in it."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from holdfast.model.cron_script import read
from holdfast.model.filenames import compile_pattern
from holdfast.model.script_reading import Reading
from holdfast.starter import answers_of, starter_config
from support.config import RECIPIENT, Place

SCRIPTS = Path(__file__).parents[1] / "support" / "cron"
SECRETS = ("hunter2", "s3cr3t", "topsecret", "do not tell", "p@ss", "p%40ss")
EXPECTED: dict[str, dict[str, Any]] = {
    "one-liner.cron": {
        "host": "db.internal", "user": "shop", "databases": ["shop"], "bucket": "s3://acme/nightly",
        "schedule": "0 2 * * *", "encryption": ["openssl enc"], "passphrase_file": "/etc/backup.pass",
        "pattern": "app-%F.sql.gz.enc", "missed": [],
    },
    "classic.sh": {
        "host": "localhost", "port": "5433", "user": "backup", "databases": ["shop"], "days": 14,
        "directory": "/var/backups/postgres", "pattern": "backup_%Y%m%d_%H%M%S.dump", "schedule": "30 3 * * *",
        "missed": [],
    },
    "loop.sh": {
        "host": "10.0.0.5", "databases": ["app", "billing", "audit"], "directory": "/srv/dumps", "days": 30,
        "selection": {"exclude_table_data": ["logs.*"]}, "pattern": "{database}-%Y-%m-%d.dump", "every_database": False,
    },
    "array.sh": {
        "host": "pg.example.com", "port": "6432", "user": "dumper", "databases": ["one", "two", "three"],
        "directory": "/backup", "keep_last": 7, "pattern": "{database}_%Y%m%d-%H%M.tar",
    },
    "every.sh": {
        "host": "/var/run/postgresql", "user": "postgres", "every_database": True, "directory": "/data/pg",
        "pattern": "%F/{database}.sql.gz", "days": 7,
    },
    "cluster.sh": {"every_database": True, "directory": "/mnt/backup", "days": 60, "missed": [(4, "mail")]},
    "docker.sh": {
        "databases": ["app_production"], "user": "app", "bucket": "s3://backups/prod/db", "days": 2,
        "endpoint": "https://minio.example.com", "missed": [(2, "reads another file: /etc/backup.conf")],
        "selection": {"include_schemas": ["public"], "exclude_tables": ["tmp_*"]},
    },
    "functions.sh": {
        "host": "db1.example.org", "user": "backup_user", "databases": ["orders", "customers"],
        "bucket": "s3://company-backups/postgres", "encryption": ["openssl enc -pbkdf2"], "missed": [(18, "curl")],
        "pattern": "{database}_%Y%m%d%H%M%S.dump.gz.enc",
    },
    "gpg.sh": {
        "host": "db", "user": "u", "databases": ["app"], "bucket": "gs://acme-db/app", "directory": "/backups",
        "encryption": ["gpg"], "pattern": "app.%s.dump.gpg",
    },
    "conninfo.sh": {
        "host": "db2", "port": "5433", "user": "reader", "databases": ["warehouse"], "directory": "/nas/weekly",
        "schedule": "@weekly", "days": 3, "missed": [(9, "vacuumdb")],
    },
}  # fmt: skip


@pytest.fixture(params=sorted(EXPECTED))
def script(request: pytest.FixtureRequest) -> tuple[str, Reading]:
    name: str = request.param
    return name, read((SCRIPTS / name).read_text())


def test_every_script_here_has_its_expectation() -> None:
    assert {path.name for path in SCRIPTS.iterdir()} == set(EXPECTED)


def test_a_script_is_understood(script: tuple[str, Reading]) -> None:
    name, reading = script
    assert {key: getattr(reading, key) for key in EXPECTED[name]} == EXPECTED[name]


def test_its_secrets_stay_in_it(script: tuple[str, Reading]) -> None:
    _, reading = script
    told = repr(reading) + starter_config(answers_of(reading))
    assert [secret for secret in SECRETS if secret in told] == []


def test_the_proposed_config_is_one(script: tuple[str, Reading], tmp_path: Path) -> None:
    _, reading = script
    place = Place(folder=tmp_path)
    text = starter_config(answers_of(reading)).replace(
        "# recipients = [", f'recipients = ["{RECIPIENT}"] # ['
    )
    (target,) = place.load(text).targets()
    assert target.databases == (None if reading.every_database else tuple(reading.databases))


def test_the_proposed_pattern_is_one(script: tuple[str, Reading]) -> None:
    _, reading = script
    assert reading.pattern is not None
    compile_pattern(reading.pattern, UTC)


@pytest.mark.parametrize(
    "text",
    ["", "\0", "$(", "${", "`", "'", '"', "a=(", "for x in", "x() {", "\\", "<<EOF", "$((1", "case x in"],
)
def test_what_is_no_script_is_understood_as_nothing(text: str) -> None:
    assert read(text).databases == []
    assert read(f"pg_dump app\n{text}").databases == ["app"]


@pytest.mark.parametrize(
    "text",
    [
        "pg_dump -d 'postgres://[db/app' > /backups/app.dump",
        "pg_dump -d " + "postgres://u:p@h/" * 2000,
        "for db in dbname=$db; do pg_dump -d $db > /backups/app.dump; done",
        "URL=postgres://u@h/$DB\nfor DB in $URL app; do pg_dump -d $DB > /backups/app.dump; done",
    ],
    ids=["no URL", "URLs in URLs", "a variable of itself", "variables of each other"],
)
def test_a_script_that_makes_no_sense_is_read_to_its_end(text: str) -> None:
    assert read(text).days is None


@pytest.mark.parametrize("days", ["³", "9" * 5000])
def test_what_is_no_number_of_days_is_not_taken_for_one(days: str) -> None:
    script = f"pg_dump app > /backups/app.dump\nfind /backups -mtime +{days} -delete\nls -t | tail -n +{days} | xargs rm"
    assert (read(script).days, read(script).keep_last) == (None, None)


def test_nothing_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    read(f"x=$(touch {trap})\n`touch {trap}`\neval touch {trap}\npg_dump $(touch {trap})")
    assert not trap.exists()

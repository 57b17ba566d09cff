"""The daemon keeps every secret that the example config knows: in its log, its state, and all that its children are told."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from urllib.parse import quote

import pytest

from holdfast.postgres.scratch import Cluster
from support import certificates
from support.daemon import all_runs, daemon, wait_until
from support.moto_server import BUCKET, moto_server
from support.postgres import execute, new_database
from support.receivers import http_receiver, smtp_receiver
from support.world import write_keys

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
# An awkward one for each, so that one that is cut, quoted or escaped is found by its middle, too.
SECRETS = {
    "daemon.auth_password": "endpoint/Horse 1",
    "stores.offsite.access_key_id": "AKIAHORSE2",
    "stores.offsite.secret_access_key": "store/Horse+3",
    "stores.offsite.session_token": "session/Horse=4",
    "targets.shop.url": "url's/ Horse:5",
    "targets.shop.password": "password's Horse%6",
    "notify.admins.password": "mail Horse&7",
    "notify.pager.url": "pagerHorse8",
    "notify.pager.token": "tokenHorse9",
    "notify.pager.secret": "signHorse0",
    "notify.monitor.url": "monitorHorseX",
}
# Of services that this daemon does not ask; the tests of their own adapters look for them.
ELSEWHERE = {
    "stores.google.credentials",
    "stores.microsoft.account_key",
    "stores.microsoft.sas_token",
    "targets.shop.access_token",
    "targets.shop.storage_access_key_id",
    "targets.shop.storage_secret_access_key",
}
CONFIG = """
[daemon]
state_dir = "state"
log_format = "json"
log_level = "debug"
auth_user = "prometheus"
auth_password = "{daemon.auth_password}"
[encryption]
recipients = ["{recipient}"]
identity_file = "identity.txt"
signing_key_file = "signing.key"
[stores.offsite]
url = "s3://{bucket}/daemon"
endpoint_url = "{moto}"
region = "us-east-1"
path_style = true
access_key_id = "{stores.offsite.access_key_id}"
secret_access_key = "{stores.offsite.secret_access_key}"
session_token = "{stores.offsite.session_token}"
[defaults]
every = "1s"
attempts = 1
databases = ["{database}"]
[targets.shop]
url = "postgresql://one:{quoted}@127.0.0.1:{port}/postgres"
[targets.shop.hooks]
before_backup = ["sleep", "0.3"]
[targets.blog]
url = "postgresql://two@127.0.0.1:{port}/postgres"
password = "{targets.shop.password}"
[targets.gone]
url = "postgresql://one:{quoted}@127.0.0.1:1/postgres"
[notify.admins]
type = "email"
on = ["success", "failure"]
host = "127.0.0.1"
port = {mail}
username = "holdfast"
password = "{notify.admins.password}"
sender = "holdfast@example.com"
to = ["admins@example.com"]
ca_bundle = "cert.pem"
[notify.pager]
type = "webhook"
on = ["success", "failure"]
url = "{pager}/{notify.pager.url}"
token = "{notify.pager.token}"
secret = "{notify.pager.secret}"
[notify.monitor]
type = "heartbeat"
url = "{monitor}/{notify.monitor.url}/{target}"
"""


def secret_keys() -> set[str]:
    """Give the keys of the example that may lie in files of their own, and the URL of the monitor, which has no twin there."""
    tables = tomllib.loads(
        re.sub(r"(?m)^#(?=[a-z_]+ = |\[)", "", EXAMPLE.read_text()).replace("[defaults]", "[d.x]")
    )
    found = {"notify.monitor.url"}
    for section, table in tables.items():
        for name, keys in table.items() if section in {"stores", "targets", "notify"} else [("", table)]:
            place = f"{section}.{name}".rstrip(".")
            found |= {f"{place}.{key}" for key in keys if f"{key}_file" in keys}
    return found - {"encryption.recipients"}  # public keys


def processes_below(pid: int) -> set[int]:
    """Give the numbers of a process's children, and of theirs."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child, *processes_below(child)}
    return found


def told_to_children(pid: int) -> dict[str, bytes]:
    """Give what each process below this one was told by arguments and environment, by the name of its program."""
    found: dict[str, bytes] = {}
    for child in processes_below(pid):
        try:
            arguments, surroundings = (
                Path(f"/proc/{child}/{name}").read_bytes() for name in ("cmdline", "environ")
            )
        except OSError:  # it has ended meanwhile
            continue
        name = os.path.basename(arguments.split(b"\0")[0]).decode()  # noqa: PTH119 - bytes
        found[name] = found.get(name, b"") + arguments + surroundings
    return found


def spellings(secret: str) -> set[bytes]:
    """Give the ways in which a secret may stand somewhere, and its middle."""
    middle = re.search(r"Horse.*|HORSE.*", secret)
    assert middle is not None
    return {text.encode() for text in (secret, quote(secret, safe=""), middle[0], quote(middle[0], safe=""))}


@pytest.mark.fault("secrets")
@pytest.mark.extended
def test_the_daemon_tells_no_secret_of_the_example_config(cluster: Cluster, tmp_path: Path) -> None:
    assert SECRETS.keys() | ELSEWHERE == secret_keys()
    assert cluster.tcp is not None
    certificate = certificates.make(tmp_path)
    roles = {"one": SECRETS["targets.shop.url"], "two": SECRETS["targets.shop.password"]}
    for role, password in roles.items():
        literal = password.replace("'", "''")
        execute(cluster.conninfo, f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{literal}'")
    try:
        with (
            new_database(cluster) as database,
            moto_server() as moto,
            http_receiver() as pager,
            http_receiver() as monitor,
            smtp_receiver(certificate) as mailbox,
        ):
            pager.status, pager.answer = 403, f"{SECRETS['notify.pager.token']} is wrong".encode()
            mailbox.login = ("holdfast", SECRETS["notify.admins.password"])
            values = SECRETS | {
                "recipient": write_keys(tmp_path),
                "bucket": BUCKET,
                "moto": moto,
                "database": str(database.database),
                "port": str(cluster.tcp.params["port"]),
                "quoted": quote(SECRETS["targets.shop.url"], safe=""),
                "mail": str(mailbox.port),
                "pager": pager.url,
                "monitor": monitor.url,
                "target": "{target}",
            }
            config = tmp_path / "holdfast.toml"
            config.write_text(re.sub(r"\{([\w.]+)\}", lambda found: values[found[1]], CONFIG))
            seen: dict[str, bytes] = {}
            state = tmp_path / "state"
            with daemon(config) as running:

                def done() -> bool:
                    for name, told in told_to_children(running.process.pid).items():
                        seen[name] = seen.get(name, b"") + told
                    return {run.target for run in all_runs(state, status="succeeded")} >= {
                        "shop",
                        "blog",
                    } and bool(all_runs(state, status="failed"))

                wait_until(done, running)
                assert SECRETS["notify.monitor.url"] in monitor.next().path
                assert pager.next().headers["Authorization"] == f"Bearer {SECRETS['notify.pager.token']}"
                assert mailbox.got.get(timeout=10).login == mailbox.login
                running.end()
            log = running.said()
    finally:
        for role in roles:
            execute(cluster.conninfo, f"DROP ROLE {role}")
    assert {"pg_dump", "pg_dumpall", "sleep"} <= seen.keys()
    assert "a notification failed" in log
    assert {"shop", "blog", "gone"} <= {json.loads(line).get("target") for line in log.splitlines()}
    places = {"the log": log.encode(), **{f"children: {name}": told for name, told in seen.items()}}
    places |= {str(path): path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert len(places) > 6
    found = {
        (name, place)
        for name, secret in SECRETS.items()
        for place, data in places.items()
        if any(spelling in data for spelling in spellings(secret))
    }
    assert found == set()

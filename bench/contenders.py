"""Who is measured: Holdfast, and the ways of backing up that it replaces, each as the command that one would type."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.model.errors import Error
from holdfast.streams import age_keys, sign
from holdfast.system.clock import SystemClock

HOLDFAST = (sys.executable, "-m", "holdfast")
PASSPHRASE = "of-a-benchmark"  # noqa: S105 - nothing that it protects lives longer than the run
BASE = "`pg_dump -Fc -Z0 > /dev/null`"
LOCAL = "local"  # the folder of the backup that is restored


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way, run in its own directory below the place of the run.

    `base` is the name of the one that counts as 1.0; `before` runs unmeasured; `stored` is what it leaves, relative
    to its directory; a `lasting` directory is kept until the round ends.
    """

    name: str
    folder: str
    argv: Sequence[str]
    needs: Sequence[str] = ()
    base: str = BASE
    before: Sequence[Sequence[str]] = ()
    stored: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    lasting: bool = False

    def missing(self) -> list[str]:
        """The programs that it needs and this machine lacks."""
        return [program for program in self.needs if shutil.which(program) is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the contenders work on: a database, the server to restore into, a directory, an S3 server.

    `data_dir`, `socket_dir` and `port` are those of the source, for who copies files; `root` is the directory.
    """

    source: str
    database: str
    destination: str
    root: Path
    s3_url: str
    data_dir: Path
    socket_dir: str
    port: int


def backups(setting: Setting) -> list[Contender]:
    """Give all ways of backing up, in the order of a round; who takes long comes last."""
    dump = dump_command(setting)
    recipient = _write_keys(setting.root)
    return [
        shell(BASE, "base", f"{dump} --compress=0 > /dev/null"),
        shell(
            "`pg_dump -Fc -Z0 \\| zstd -1 -T0 \\| age > file`, synced",
            "pipe",
            f"{dump} --compress=0 | zstd -q -1 -T0 | age -r {recipient} > out.age && sync out.age",
            needs=("zstd", "age"),
            stored="out.age",
        ),
        _holdfast(
            setting, "**Holdfast**, local store, encrypted, read back", LOCAL, _ENCRYPTED, lasting=True
        ),
        _holdfast(setting, "Holdfast, local store, not encrypted, read back", "plain", _PLAIN),
        _holdfast(setting, "**Holdfast**, S3 on loopback, encrypted", "s3", _ENCRYPTED, store=_S3),
        *_others(dump),
        _pgbackrest(setting),
        shell(
            "the cron script: dump, gzip, openssl, copy",
            "cron",
            f"mkdir -p copy; {dump} > dump && gzip dump"
            f" && openssl enc -aes-256-cbc -pbkdf2 -pass env:PASSPHRASE -in dump.gz -out dump.gz.enc"
            f" && cp dump.gz.enc copy/",
            needs=("gzip", "openssl"),
            stored="copy",
            env={"PASSPHRASE": PASSPHRASE},
        ),
    ]


def dump_command(setting: Setting) -> str:
    """Give the dump that all others begin with, for a shell."""
    return f"pg_dump --dbname={shlex.quote(setting.source)} --format=custom"


def _others(dump: str) -> list[Contender]:
    restic = {"RESTIC_REPOSITORY": "repository", "RESTIC_PASSWORD": PASSPHRASE, "RESTIC_CACHE_DIR": "cache"}
    borg = {"BORG_REPO": "repository", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": "base"}
    return [
        shell(
            "restic, from `pg_dump -Fc -Z0`",
            "restic",
            f"{dump} --compress=0 | restic --quiet backup --stdin --stdin-filename shop.dump",
            needs=("restic",),
            before=(("restic", "--quiet", "init"),),
            stored="repository",
            env=restic,
        ),
        shell(
            "borg, from `pg_dump -Fc -Z0`",
            "borg",
            f"{dump} --compress=0 | borg create ::shop -",
            needs=("borg",),
            before=(("borg", "init", "--encryption=repokey"),),
            stored="repository",
            env=borg,
        ),
    ]


def _pgbackrest(setting: Setting) -> Contender:
    """A physical backup: the files of the whole server, compressed alike, in two processes."""
    where = (
        f"--stanza=bench --repo1-path=$PWD/repository --repo1-cipher-type=aes-256-cbc"
        f" --pg1-path={shlex.quote(str(setting.data_dir))} --pg1-socket-path={shlex.quote(setting.socket_dir)}"
        f" --pg1-port={setting.port} --pg1-user=postgres --lock-path=$PWD/lock"
        " --log-level-file=off --log-level-console=error"
    )
    how = "--type=full --compress-type=zst --compress-level=1 --process-max=2 --start-fast --no-archive-check"
    return shell(
        "pgBackRest, full, zstd, encrypted, 2 processes (the server's files, without WAL)",
        "pgbackrest",
        f"pgbackrest backup {where} {how}",
        needs=("pgbackrest",),
        before=(("bash", "-c", f"pgbackrest stanza-create {where}"),),
        stored="repository",
        env={"PGBACKREST_REPO1_CIPHER_PASS": PASSPHRASE},
    )


def shell(  # noqa: PLR0913 - the fields of what it makes
    name: str,
    folder: str,
    script: str,
    *,
    needs: Sequence[str] = (),
    base: str = BASE,
    before: Sequence[Sequence[str]] = (),
    stored: str | None = None,
    env: Mapping[str, str] | None = None,
    lasting: bool = False,
) -> Contender:
    """A contender that is a line of bash."""
    return Contender(
        name=name,
        folder=folder,
        argv=("bash", "-o", "pipefail", "-c", script),
        needs=needs,
        base=base,
        before=before,
        stored=stored,
        env=env or {},
        lasting=lasting,
    )


_ENCRYPTED = '[encryption]\nrecipients = ["{recipient}"]\nidentity_file = "../identity.txt"\n'
_PLAIN = "[encryption]\nenabled = false\n"
_DISK = 'url = "store"\n'
_S3 = (
    'type = "s3"\nbucket = "bench"\nendpoint_url = "{s3_url}"\npath_style = true\nregion = "us-east-1"\n'
    'access_key_id = "bench"\nsecret_access_key = "bench"\n'
)
_CONFIG = """\
{encryption}signing_key_file = "../signing.key"
[daemon]
state_dir = "state"
[stores.there]
{store}[targets.bench]
url = {url}
databases = ["{database}"]
"""


def _holdfast(
    setting: Setting, name: str, folder: str, encryption: str, *, store: str = _DISK, lasting: bool = False
) -> Contender:
    # The directory is made anew in each round, so the config comes with the command that is not measured.
    config = config_text(setting, encryption, store=store, database=setting.database)
    return Contender(
        name=name,
        folder=folder,
        argv=(*HOLDFAST, "backup", "--quiet"),
        before=(("bash", "-c", 'printf %s "$0" > holdfast.toml', config),),
        stored="store" if store == _DISK else None,
        lasting=lasting,
    )


def config_text(setting: Setting, encryption: str = _ENCRYPTED, *, store: str = _DISK, database: str) -> str:
    """Write a config that backs one database up."""
    url = '"' + setting.source.replace("\\", "\\\\").replace('"', '\\"') + '"'
    recipient = age_keys.read_identity_file(setting.root / "identity.txt").identities[0].recipient.text
    return _CONFIG.format(
        encryption=encryption.format(recipient=recipient),
        store=store.format(s3_url=setting.s3_url),
        url=url,
        database=database,
    )


def _write_keys(root: Path) -> str:
    identity, key = age_keys.generate(), sign.generate()
    sign.write_signing_key(root / "signing.key", key)
    age_keys.write_identity_file(root / "identity.txt", identity, key.public, SystemClock().now())
    return identity.recipient.text


def environment(contender: Contender) -> dict[str, str]:
    """Give the environment of a contender's commands: nothing of PostgreSQL's or our own but what it says.

    Nor of Python's, which may forbid to keep compiled code: an installed program has its own compiled.
    """
    left_out = ("PG", "HOLDFAST", "AWS", "RESTIC", "BORG", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "AWS_EC2_METADATA_DISABLED": "true", **contender.env}


def prepare(contender: Contender, folder: Path) -> None:
    """Run what comes before, unmeasured. Raise Error when it fails."""
    for argv in contender.before:
        done = subprocess.run(
            argv, cwd=folder, env=environment(contender), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Error(f"{argv[0]}: {done.stderr.strip()}")

"""Runs the main job on throwaway servers, step by step: fill, back up, look, restore, compare, lose a table, schedule."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from holdfast.demo import same
from holdfast.demo.shell import Shell, note, step
from holdfast.demo.watching import watch_the_daemon
from holdfast.model.errors import Error, IntegrityError, RestoreTestError
from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo, child
from holdfast.postgres.scratch import Cluster, scratch_cluster
from holdfast.postgres.tools import Toolset
from holdfast.render import printing
from holdfast.system import proc, signals
from holdfast.system.stop import Stop

_AGE = "age-encryption.org/v1"  # how every age file begins
_CONFIG = """\
[encryption]
recipients = ["{recipient}"]
identity_file = "identity.txt"        # a host that only writes backups goes without
signing_key_file = "holdfast-signing.key"
[daemon]
state_dir = "state"
[stores.disk]
url = "{store}"
[targets.shop]
url = "{url}"
restore_test.isolation = "preferred"  # required is better: then restored code is shut in, or not run at all
"""


def run(*, keep: bool = False) -> None:
    """Run the demo; raise an Error when anything is off. With `keep` its directory stays, the servers never do.

    Interrupts and terminations end it, cleaned up.
    """
    os.environ.pop("PGSERVICE", None)  # noqa: TID251 - libpq follows it whatever a connection says; we never mean it
    stop = Stop()
    with signals.stopping(stop), _folder(keep=keep) as folder:
        try:
            _story(Shell(folder=folder, stop=stop))
        except Error:
            stop.check()  # the servers end with it: whatever failed then is no failure of its own
            raise


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="holdfast-demo-"))
    try:
        yield path
    finally:
        if keep:
            printing.line(f"The servers are gone; keys, config and backup are in {path}")
        else:
            shutil.rmtree(path)
            printing.line("Everything is removed again.")


def _story(shell: Shell) -> None:
    printing.line(
        "Holdfast's main job, on throwaway servers. What begins with $ is what you would type yourself."
    )
    step(1, "Start a PostgreSQL, and fill it with a small shop")
    with scratch_cluster(stop=shell.stop) as first:
        clients = tools.choose(tools.find_toolsets([first.bin_dir]), first.version_num)
        _fill(first, clients, shell.stop)
        original = same.read(first.conninfo, clients, shell.stop)
        note(f"PostgreSQL {clients.text} in {first.data_dir}")
        note(", ".join(f"{count:,} {kind}" for kind, count in same.summary(original)))
        shell = replace(shell, programs={"psql": clients.program("psql")})
        _back_up(shell, first)
        _look(shell)
        step(7, "Start a second, empty server, and restore everything into it")
        with scratch_cluster(stop=shell.stop) as second:
            shell.run("holdfast", "restore", "latest", "--to", url(second.conninfo))
            step(8, "Compare the two servers: every row, every definition, every role")
            show_same(original, same.read(second.conninfo, clients, shell.stop))
        _lose_a_table(shell, first)
        step(10, "Compare the first server with what it was")
        show_same(original, same.read(first.conninfo, clients, shell.stop))
        step(11, "Let the daemon take a backup by its schedule, and ask for its metrics")
        watch_the_daemon(shell)
    printing.line()
    printing.line("Both servers are identical to the original.")


def _fill(cluster: Cluster, clients: Toolset, stop: Stop) -> None:
    shop = resources.files("holdfast.demo").joinpath("shop.sql").read_bytes()
    argv = (clients.program("psql"), "--no-psqlrc", f"--dbname={cluster.conninfo.argv_dsn()}", "--file=-")
    with child(cluster.conninfo, application_name="holdfast demo") as given:
        proc.feed(proc.Command(argv=argv, env=given.env, pass_fds=given.pass_fds), [shop], stop)


def url(server: Conninfo) -> str:
    """Write where a throwaway server is as a URL: over its private socket, at the usual port, without a password."""
    place = server.params
    return f"postgresql://{place['user']}@/{place['dbname']}?host={quote(place['host'], safe='/')}"


def _back_up(shell: Shell, server: Cluster) -> None:
    step(2, "Make the keys: backups are encrypted to the recipient, and only the identity opens them")
    recipient = shell.run("holdfast", "keygen", "-o", "identity.txt")[0]
    step(3, "Write the config, and check it")
    config = _CONFIG.format(recipient=recipient, store="backups", url=url(server.conninfo))
    (shell.folder / "holdfast.toml").write_text(config, encoding="utf-8")
    shell.run("cat", "holdfast.toml")
    shell.run("holdfast", "check")
    step(4, "Take a backup: streamed, compressed, encrypted, read back, and only then listed")
    shell.run("holdfast", "backup")


def _look(shell: Shell) -> None:
    step(5, "Look at it, read every byte of it again, prove that it restores, and ask: am I safe?")
    shell.run("holdfast", "list")
    shell.run("holdfast", "show", "latest")
    shell.run("holdfast", "verify", "latest")
    shell.run("holdfast", "restore-test")
    shell.run("holdfast", "status")
    step(6, "What lies in the store: plain files, of no use without the key")
    (dump,) = shell.folder.glob("backups/shop/*/shop.dump.*")
    path = dump.relative_to(shell.folder)
    shell.run("ls", str(path.parent))
    if shell.run("head", "-c", str(len(_AGE)), str(path)) != (_AGE,):
        raise IntegrityError(f"{path} is not encrypted")
    note("RESTORE.txt beside it has the commands that restore it without Holdfast: age, zstd, pg_restore.")


def _lose_a_table(shell: Shell, server: Cluster) -> None:
    step(9, "Lose a table, and the view on it, and bring them back while the shop stays open")
    shop = url(server.conninfo.with_database("shop"))
    shell.run("psql", shop, "-c", "DROP TABLE shop.order_lines CASCADE")
    chosen = ("--table", "shop.order_lines", "--table", "shop.revenue")
    shell.run("holdfast", "restore", "latest", "--database", "shop", *chosen)


def show_same(original: same.Content, restored: same.Content) -> None:
    """Print what was compared, a line for each kind. Raise RestoreTestError when the two differ, or hold nothing."""
    counts = same.summary(original)
    if not all(count for _, count in counts):
        raise RestoreTestError(
            f"there was nothing to compare: {', '.join(kind for kind, n in counts if not n)}"
        )
    found = same.differences(original, restored)
    if found:
        for text in found:
            note(f"DIFFERENT  {text}")
        raise RestoreTestError(f"the restored server differs from the original in {len(found)} places")
    for kind, count in counts:
        note(f"identical  {count:>7,} {kind}")

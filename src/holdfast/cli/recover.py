"""The command for the worst day: recover, from a store and an identity alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import asking
from holdfast.cli.options import Before, Json, Quiet, destination, pair, parse_time
from holdfast.model.errors import CancelledError, RestoreTestError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.system.stop import Stop

_STORE = "main"  # the only one, in a config that nobody wrote
_LOCAL = "postgresql:///postgres"


def recover(
    store: Annotated[
        str,
        typer.Argument(
            metavar="STORE_URL", help="Where the backups are: a URL (s3://, gs://, azblob://) or a path."
        ),
    ],
    identity: Annotated[
        Path, typer.Option("--identity", "-i", metavar="FILE", help="The private key that opens them.")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="Into this server. Default: the one of this machine.")
    ] = _LOCAL,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", metavar="NAME", help="This target, where there are several."),
    ] = None,
    backup: Annotated[
        str | None, typer.Option("--backup", metavar="ID", help="This backup. Default: the newest whole one.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database", "-d", metavar="NAME", help="This one, with the roles. Default: all of the backup."
        ),
    ] = None,
    before: Before = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Sessions that restore at once.")
    ] = 1,
    tablespace_map: Annotated[
        list[str] | None,
        typer.Option("--tablespace-map", metavar="OLD=PATH", help="Put a tablespace there; may be repeated."),
    ] = None,
    signer: Annotated[
        list[str] | None,
        typer.Option("--signer", metavar="KEY", help="Believe this signer too (RW…); may be repeated."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A key of the store: stores.main.endpoint_url=https://…"
        ),
    ] = None,
    no_compare: Annotated[
        bool, typer.Option("--no-compare", help="Count rows, and compare no more: for very large databases.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what there is; change nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Bring a whole server back on an empty machine, from a store and an identity: no config, no ledger."""
    from holdfast.app import open_bare
    from holdfast.jobs import recover as job
    from holdfast.jobs import restore_plan
    from holdfast.jobs.find import open_best
    from holdfast.jobs.restore import Wish, restore
    from holdfast.methods.pg_restore import Options
    from holdfast.render import recover as render_recover
    from holdfast.render.printing import Reporter

    if as_json and not (yes or dry_run):
        raise UsageError("--json cannot ask", hint="Say --yes, or --dry-run to look only.")
    output = render_recover.Output(as_json=as_json, quiet=quiet)
    keys = _keys(store, identity, signer or ())
    with open_bare(keys, settings or (), reporter=Reporter(quiet=quiet), quiet=quiet) as opened:
        services = opened.services
        began = services.clock.monotonic()
        found = job.look(services)
        output.found(found, services.clock.now())
        if dry_run and target is None and backup is None and len(found) > 1:
            output.end(found)
            return 0
        row = job.choose(found, target=target, backup=backup, before=parse_time(before))
        wish = Wish(
            into=destination(opened, to, row.backup.target),
            database=database,
            roles=True,
            tablespaces=dict(pair(text, "--tablespace-map", "PATH") for text in tablespace_map or ()),
            options=Options(jobs=jobs),
            thorough=not no_compare,
        )
        chosen = open_best(services, row)
        output.chosen(row, services.clock.now())
        planned = restore_plan.plan(services, chosen, wish, opened.stop)
        output.planned(planned)
        if dry_run or planned.problems:
            output.end(found, planned=planned)
            return UsageError.exit_code if planned.problems else 0
        if not yes:
            _confirm(opened.stop)
        report = restore(services, chosen, wish, opened.stop)
        output.restored(report)
        output.end(found, planned=planned, report=report, seconds=services.clock.monotonic() - began)
    return RestoreTestError.exit_code if report.sameness is not None and report.sameness.differs else 0


def _keys(store: str, identity: Path, signers: Sequence[str]) -> dict[str, object]:
    """Write the config that nobody wrote."""
    return {
        "stores": {_STORE: {"url": store}},
        "encryption": {"identity_file": str(identity), "signers": list(signers)},
    }


def _confirm(stop: Stop) -> None:
    """Ask; raise UsageError where nobody is there to answer, CancelledError after a no."""
    if not asking.somebody_is_there():
        raise UsageError("nothing is restored unasked", hint="Say --yes where nobody can answer.")
    if not asking.agreed("Restore it?", stop):
        raise CancelledError("nothing was changed")


def register(app: typer.Typer) -> None:
    """Add the command of this module to the program."""
    app.command()(recover)

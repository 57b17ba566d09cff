"""Who is measured in bringing data back: Holdfast's ways, each beside the plain one that it stands for."""

from __future__ import annotations

import shlex

from bench.contenders import HOLDFAST, LOCAL, Contender, Setting, dump_command, shell

_PLAIN = "`pg_restore{jobs}` from a plain local file"
_WHOLE = "decrypting and reading all of the backup"
SMALL_TABLE = "products"


def restores(setting: Setting) -> list[Contender]:
    """Give all ways of restoring, in the order of a round. They need the local backup of the same round."""
    return [
        *_pair(setting, jobs=1),
        *_pair(setting, jobs=2),
        _holdfast(
            "**Holdfast** restore test: cluster, restore, every row compared, amcheck, removal",
            *("restore-test", "--quiet", "--database", setting.database),
            base=_PLAIN.format(jobs=" -j2"),
            before=(_drop(setting),),  # or that server would vacuum beside it what was restored last
        ),
        _holdfast(_WHOLE, "export", "latest", "--output", "whole.dump", base=_WHOLE, before=(_REMOVE,)),
        _holdfast(
            f"**Holdfast**, one small table (`{SMALL_TABLE}`) into an empty database",
            *("restore", "latest", "--quiet", "--database", setting.database, "--table", SMALL_TABLE),
            *("--to", f"{setting.destination} dbname={setting.database}"),
            base=_WHOLE,
            before=(_drop(setting), _create(setting)),
        ),
    ]


_REMOVE = ("rm", "-f", "whole.dump")


def _pair(setting: Setting, *, jobs: int) -> list[Contender]:
    option = "" if jobs == 1 else f" --jobs={jobs}"
    base = _PLAIN.format(jobs="" if jobs == 1 else f" -j{jobs}")
    dump = f"{dump_command(setting)} --compress=0 > plain.dump"
    into = f"{setting.destination} dbname={setting.database}"
    return [
        shell(
            base,
            f"pg_restore-{jobs}",
            f"pg_restore --exit-on-error{option} --dbname={shlex.quote(into)} plain.dump",
            base=base,
            before=(_drop(setting), _create(setting), ("bash", "-c", dump)),
        ),
        _holdfast(
            f"**Holdfast** restore{f', `--jobs {jobs}`' if jobs > 1 else ''}, encrypted, counted, analysed",
            *("restore", "latest", "--quiet", "--database", setting.database, "--to", setting.destination),
            *(("--jobs", str(jobs)) if jobs > 1 else ()),
            base=base,
            before=(_drop(setting),),
        ),
    ]


def _holdfast(name: str, *argv: str, base: str, before: tuple[tuple[str, ...], ...]) -> Contender:
    return Contender(name=name, folder=LOCAL, argv=(*HOLDFAST, *argv), base=base, before=before, lasting=True)


def _drop(setting: Setting) -> tuple[str, ...]:
    return ("dropdb", f"--maintenance-db={setting.destination}", "--if-exists", "--force", setting.database)


def _create(setting: Setting) -> tuple[str, ...]:
    return ("createdb", f"--maintenance-db={setting.destination}", "--template=template0", setting.database)

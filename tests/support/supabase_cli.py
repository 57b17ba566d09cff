"""The official dump of a Supabase project: the scripts that its own command line program prints, run as they are.

The program comes from npm: script/bootstrap --extended.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from support.postgres import clean_environment
from support.supabase_platform import Platform

_PROGRAM = Path(__file__).parents[2] / ".cache/supabase/node_modules/.bin/supabase"
# Without --keep-comments the script takes away every line that begins with two dashes, in strings and function bodies, too.
_KINDS = {"roles": ["--role-only"], "schema": ["--keep-comments"], "data": ["--data-only", "--use-copy"]}


def official_dump(source: Platform) -> dict[str, bytes]:
    """Give what the official scripts print of a project: `roles`, `schema` and `data`."""
    return {kind: _printed(_script(source, flags), source) for kind, flags in _KINDS.items()}


def restore_official(dump: dict[str, bytes], target: Platform) -> None:
    """Restore it by the documented recipe, as the platform's superuser: one run of psql, all or nothing."""
    with tempfile.TemporaryDirectory(prefix="official-") as folder:
        files = {kind: Path(folder) / f"{kind}.sql" for kind in dump}
        for kind, text in dump.items():
            files[kind].write_bytes(text)
        arguments = ["--single-transaction", "--set=ON_ERROR_STOP=1", "--quiet", "--no-psqlrc"]
        arguments += [f"--file={files['roles']}", f"--file={files['schema']}"]
        arguments += ["--command=SET session_replication_role = replica", f"--file={files['data']}"]
        psql = target.bin_dir / "psql"
        done = subprocess.run(
            [str(psql), f"--dbname={target.admin.argv_dsn()}", *arguments],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def _script(source: Platform, flags: list[str]) -> str:
    """Ask the program for the script that it would run."""
    program = os.environ.get("TEST_SUPABASE") or (str(_PROGRAM) if _PROGRAM.exists() else "")
    program = program or shutil.which("supabase") or ""
    if not program:
        raise RuntimeError("supabase not found: script/bootstrap --extended installs it with npm")
    with tempfile.TemporaryDirectory(prefix="supabase-") as home:
        done = subprocess.run(
            [program, "db", "dump", "--dry-run", "--db-url", source.url, *flags],
            env={**clean_environment(), "HOME": home},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout[done.stdout.index("#!") :]


def _printed(script: str, source: Platform) -> bytes:
    env = clean_environment()
    env["PATH"] = f"{source.bin_dir}:{env['PATH']}"
    done = subprocess.run(["/bin/bash", "-c", script], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout

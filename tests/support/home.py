"""A directory with a config in it, and the command run there as its owner would."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from holdfast.cli.program import main
from holdfast.postgres.conninfo import Conninfo
from holdfast.system import logs
from support.world import cli, environment

Done = subprocess.CompletedProcess[str]


def called(*args: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """Run a command as `support.world.cli` does, but within this process: it need not import everything again."""
    out, err = io.StringIO(), io.StringIO()
    argv = [str(arg) for arg in args]
    logger = logging.getLogger()
    before = (logger.level, list(logger.handlers))
    try:
        with (
            chdir(cwd),
            mock.patch.dict(os.environ, environment(**(env or {})), clear=True),
            mock.patch.object(sys, "stdin", io.StringIO()),
            mock.patch.object(
                logs, "_secrets", set()
            ),  # what an earlier call registered, a new process knows not
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = main(argv)
    finally:
        structlog.reset_defaults()
        logger.setLevel(before[0])
        logger.handlers[:] = before[1]
    return Done(argv, code, out.getvalue(), err.getvalue())


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """`config` names the one target, `shop`, and its one `database`; the default store is the directory `store`."""

    folder: Path
    config: Path
    database: Conninfo

    def run(self, *args: str | Path, code: int = 0, env: Mapping[str, str] | None = None) -> Done:
        """Run a command with the config, within this process; it has to end with this exit code."""
        return self._checked(called(*args, "--config", self.config, env=env, cwd=self.folder), code)

    def spawn(self, *args: str | Path, code: int = 0, env: Mapping[str, str] | None = None) -> Done:
        """Run a command with the config, as a process of its own; it has to end with this exit code."""
        return self._checked(cli(*args, "--config", self.config, env=env, cwd=self.folder), code)

    def _checked(self, done: Done, code: int) -> Done:
        assert done.returncode == code, f"{done.args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def facts(self, *args: str | Path, code: int = 0) -> Any:  # noqa: ANN401 - JSON
        """Run a command with --json; give what it printed."""
        return json.loads(self.run(*args, "--json", code=code).stdout)

    def ids(self) -> list[str]:
        """List the backups' ids, newest first."""
        return [str(row["id"]) for row in self.facts("list")]

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.folder / "state"

    @property
    def store(self) -> Path:
        """The local store's directory."""
        return self.folder / "store"


def shape(value: object, path: str = "") -> set[str]:
    """Give the paths of all keys in a JSON value: `copies[].store`. The keys of free objects are left out."""
    if isinstance(value, dict):
        return {
            found for key, item in value.items() for found in (f"{path}{key}", *shape(item, f"{path}{key}."))
        }
    if isinstance(value, list):
        return (
            {found for item in value for found in shape(item, f"{path.removesuffix('.')}[].")}
            if path
            else {found for item in value for found in shape(item)}
        )
    return set()

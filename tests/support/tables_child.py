"""A process that restores tables and kills itself on the way: `python -m support.tables_child CONFIG DATABASE POINT WISH`.

A point is `stage:NAME`, or `doing:TEXT`: what the reporter is told begins so. WISH is JSON, for a TablesWish.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from holdfast.app import open_app
from holdfast.cli.options import destination
from holdfast.jobs.find import open_best
from holdfast.jobs.restore_tables import TablesWish, restore_tables
from support.kill_driver import Fatal, Point


class _Deadly(Fatal):
    def doing(self, what: str) -> None:
        if self.point.kind == "doing" and what.startswith(self.point.name):
            os.kill(os.getpid(), signal.SIGKILL)


def main(config: str, database: str, text: str, wish: dict[str, Any]) -> None:
    kind, _, name = text.partition(":")
    point = Point(kind, name)
    with open_app(Path(config), (), reporter=_Deadly(point), quiet=True) as app:
        chosen = open_best(app.services, app.find("latest", target=None, before=None, fresh=True), None)
        services = dataclasses.replace(app.services, stage=point.stage)
        into = destination(app, None, chosen.backup.target)
        restore_tables(services, chosen, TablesWish(into=into, into_database=database, **wish), app.stop)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))

"""Runs a server that is shut in, with the installed Holdfast of a host that proves, and says that it was."""

from __future__ import annotations

from holdfast.postgres import confined, tools
from holdfast.system.stop import Stop


def main() -> None:
    with confined.confined_cluster(
        bin_dir=tools.find_servers()[0].bin_dir,
        parent=None,
        superuser="postgres",
        confinement=confined.Confinement(required=True),
        stop=Stop(),
    ) as cluster:
        print("the server is", cluster.isolation)


if __name__ == "__main__":
    main()

"""The command line: the program, its commands, and errors as exit codes.

Everything slow is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from holdfast import __version__
from holdfast.cli.help import ByPurpose, PlainCommand
from holdfast.cli.options import ConfigPath, common
from holdfast.model.errors import CancelledError, Error, UsageError
from holdfast.system import stdio

# Which module brings a command. Making all of them ready takes a tenth of a second, and one is wanted.
MODULES = {
    **dict.fromkeys(("init", "keygen", "check", "demo"), "setup"),
    **dict.fromkeys(("backup", "copy", "show", "status", "verify", "list", "catalog"), "backup"),
    **dict.fromkeys(("run", "health", "pause", "resume", "schedule"), "daemon"),
    "disaster": "disaster",
    "restore": "restore",
    "recover": "recover",
    "swap": "swap",
    **dict.fromkeys(("prune", "pin", "unpin", "undelete", "anomaly"), "retention"),
    "export": "export",
    "import": "importing",
    "schema": "schema",
    "keys": "keys",
    "kit": "kit",
    "notify": "notify",
    "supabase": "supabase",
    **dict.fromkeys(("restore-test", "proof", "repair"), "prove"),
}


def program(command: str | None = None) -> typer.Typer:
    """Give the program: with all commands, or with those of the module that brings this one."""
    app = typer.Typer(
        name="holdfast",
        cls=ByPurpose,
        help="PostgreSQL backups on a schedule that are proven to restore. `holdfast COMMAND --help` tells more of each.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_root)
    modules = dict.fromkeys(MODULES.values()) if command is None else (MODULES[command],)
    for name in modules:
        importlib.import_module(f"holdfast.cli.{name}").register(app)
    for group in (app, *(each.typer_instance for each in app.registered_groups)):
        for info in group.registered_commands if group is not None else ():
            info.cls = PlainCommand
    return app


def _root(
    config: ConfigPath = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    common.config, common.quiet = config, quiet
    if version:
        print(f"holdfast {__version__}")  # noqa: T201 - before anything else is loaded
        raise typer.Exit


def main(argv: Sequence[str]) -> int:
    """Run a command and give its exit code (docs/reference/exit-codes.md). The outermost catcher."""
    try:
        app = program(argv[0] if argv and argv[0] in MODULES else None)
        result = app(args=list(argv), prog_name="holdfast", standalone_mode=False)
    except Error as error:
        return _failed(error)
    except (KeyboardInterrupt, typer.Abort):  # an interrupt; or a question that got no answer
        return _failed(CancelledError())
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads us any more; keep the interpreter from saying so at exit
        return Error.exit_code
    except Exception as error:  # noqa: BLE001 - the outermost catcher: a bug is said as one
        return _unexpected(error)
    return int(result or 0)


def _unexpected(error: Exception) -> int:
    if hasattr(error, "format_message"):
        return _misused(error)
    if isinstance(error, OSError) and _modules(error) <= {
        __name__
    }:  # the parser itself prints, such as a help
        stdio.leave()
        return _failed(Error(f"cannot write the output: {error.strerror}"))
    return _bug(error)


def _modules(error: Exception) -> set[str]:
    """Give the modules of ours that an error came through."""
    found, trace = set[str](), error.__traceback__
    while trace is not None:
        found.add(str(trace.tb_frame.f_globals.get("__name__")))
        trace = trace.tb_next
    return {name for name in found if name.startswith("holdfast.")}


def _misused(error: Exception) -> int:
    """Tell of an error of the command line's own parser, whose classes typer keeps to itself."""
    message = error.format_message()  # type: ignore[attr-defined]  # asked for above
    if type(error).__name__ == "NoArgsIsHelpError":
        with suppress(OSError):
            print(message, file=sys.stderr, flush=True)  # noqa: T201 - it is the help
        return UsageError.exit_code
    command = getattr(getattr(error, "ctx", None), "command_path", "holdfast")
    hint = f"`{command} --help` shows what there is."
    option = getattr(error, "option_name", None)
    if option is not None and command == "holdfast":
        message = f"{option} is no option of `holdfast` itself"
        hint = f"An option of a command stands behind it, as in `holdfast list --json`; {hint}"
    return _failed(UsageError(message, hint=hint))


def _bug(error: Exception) -> int:
    import traceback

    from holdfast.system import logs

    with suppress(OSError):
        print(logs.redacted("".join(traceback.format_exception(error))), file=sys.stderr, flush=True)  # noqa: T201 - as in render.error
    return _failed(
        Error(
            f"internal error: {error}",
            hint="This is a bug in Holdfast; please report it with the lines above.",
        )
    )


def _failed(error: Error) -> int:
    from holdfast.render import printing

    printing.error(error)
    return error.exit_code

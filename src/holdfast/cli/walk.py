"""The steps of the walk through a disaster plan, in the same words whether it is meant or a drill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from holdfast.cli import asking
from holdfast.cli.options import parse_time
from holdfast.jobs import disaster as job
from holdfast.jobs import hooks
from holdfast.jobs.find import find, open_best
from holdfast.jobs.status import status
from holdfast.model.errors import CancelledError, NotFoundError, RestoreTestError, UsageError
from holdfast.model.shell_quoting import shell_word
from holdfast.render import printing, sameness, swap
from holdfast.render import status as render_status
from holdfast.render.words import duration, many, size
from holdfast.system import logs

if TYPE_CHECKING:
    from holdfast.app import App
    from holdfast.jobs.disaster import BroughtBack, Choice, Protocol
    from holdfast.jobs.hooks import Event
    from holdfast.jobs.reading import Opened
    from holdfast.jobs.restore import Wish
    from holdfast.jobs.runner import Meter
    from holdfast.methods.proving import Stopwatch
    from holdfast.model.drill import Drill
    from holdfast.model.target import Target
    from holdfast.postgres.conninfo import Conninfo
    from holdfast.system.stop import Stop

_EVERYWHERE = "postgres"
_SHOWN = 5


@dataclass(slots=True, kw_only=True)
class Walk:
    """One walk through the plan: with whom, for which target, whether it is a drill, and where it is written down.

    When `quiet` it is only written down. `server` are the options that lead a later command to the same server; `stopped` says that the services are.
    """

    opened: App
    target: Target
    protocol: Protocol
    watch: Stopwatch = field(repr=False)
    asks: bool
    drill: bool
    quiet: bool
    server: tuple[str, ...]
    stop: Stop = field(repr=False)
    stopped: bool = False

    def say(self, text: str = "") -> None:
        """Tell the operator and the protocol."""
        if not self.quiet:
            printing.line(logs.redacted(text))  # it may be what a program said
        if text:
            self.protocol.note(text)

    def step(self, number: int, title: str) -> None:
        """Begin a step."""
        self.stop.check()
        self.say()
        self.say(f"{number}. {title}")

    def ask(self, question: str) -> None:
        """Go on after a yes only. Raise CancelledError after a no."""
        self.protocol.note(f"asked: {question}")
        if self.asks and not asking.agreed(f"   {question}", self.stop):
            self.protocol.note("answered: no")
            raise CancelledError(
                "the walk was ended here", hint=f"What was done is written down in {self.protocol.path}."
            )
        self.protocol.note("answered: yes" if self.asks else "not asked")


def identify(walk: Walk, before: str | None) -> datetime:
    """Step 1. Give the time when all was still well. Raise UsageError for one that is none, or in the future."""
    walk.step(1, "Identify the failure")
    if not walk.quiet:
        render_status.status(status(walk.opened.services, [walk.target]))
    if before is None and walk.asks:
        question = "   When was all still well? (UTC; empty: until now):"
        before = asking.answer(question, walk.stop)
    now = walk.opened.services.clock.now()
    well_at = (parse_time(before) if before else None) or now
    if well_at > now:
        raise UsageError(f"{before} is in the future", hint="Give the time when all was still well.")
    walk.say(f"   all was well until {well_at:%Y-%m-%d %H:%M:%SZ}")
    return well_at


def stop_services(walk: Walk) -> None:
    """Step 2."""
    _services(walk, 2, "stop_services", None)


def resume_services(walk: Walk, backup_id: str) -> None:
    """Step 6."""
    _services(walk, 6, "resume_services", backup_id)
    walk.stopped = False


def _services(walk: Walk, number: int, event: Event, backup_id: str | None) -> None:
    walk.step(number, f"{'Stop' if event == 'stop_services' else 'Resume'} the services")
    argv = getattr(walk.target.hooks, event)
    if walk.drill:
        hook = f"the hook would be run now: {_command(argv)}" if argv else "it would be done by hand now"
        walk.say(f"   {hook}; this is a drill, and nothing is touched")
        return
    if not argv:
        walk.say(f"   no hook is configured (targets.{walk.target.name}.hooks.{event}): do it by hand now")
        walk.ask("Is it done?")
        walk.stopped = True
        return
    walk.say(f"   the hook is: {_command(argv)}")
    walk.ask("Run it?")
    walk.stopped = True  # from here on some may be, even where the hook fails half-way
    hooks.services_of_others(walk.opened.services, walk.target, event, backup_id, walk.stop)
    walk.say("   it ran")


def _command(argv: Sequence[str]) -> str:
    return " ".join(map(shell_word, argv))


@contextmanager
def told_what_is_stopped(walk: Walk) -> Iterator[None]:
    """When the walk ends too early, say which services are stopped, and what starts them again."""
    try:
        yield
    except BaseException:  # also Ctrl-C: that is when somebody has to know
        if walk.stopped:
            argv = walk.target.hooks.resume_services
            how = f"to start them again: {_command(argv)}" if argv else "start them again by hand"
            walk.say(f"   the services are stopped, or some of them; {how}")
        raise


def choose(walk: Walk, well_at: datetime, backup: str | None) -> Opened:
    """Step 3. Raise NotFoundError where there is none to choose."""
    walk.step(3, "Assess, and choose the backup")
    services, name = walk.opened.services, walk.target.name
    if backup is not None:
        choice = job.Choice(row=find(services, backup, target=name), newer=())
    else:
        choice = job.choose(services, name, well_at)
    _tell_choice(walk, choice, well_at)
    if choice.newer and walk.asks:
        question = "   Another one instead? (its id, or the beginning; empty: no):"
        if said := asking.answer(question, walk.stop):
            walk.protocol.note(f"chose: {said}")
            choice = job.Choice(row=find(services, said, target=name), newer=())
            _tell_choice(walk, choice, well_at)
    walk.ask("Go back to this backup?")
    return open_best(services, choice.row)


def _tell_choice(walk: Walk, choice: Choice, well_at: datetime) -> None:
    made = choice.row.backup
    walk.say(f"   {made.id}: {choice.row.proof}, {size(made.size)}, databases {', '.join(made.databases)}")
    if choice.row.proof != "proven":
        walk.say("   it was never restored in a test: look well at what comes back")
    lost = choice.lost_seconds(well_at)
    if lost < 0:
        walk.say(
            f"   it was begun {duration(-lost)} AFTER all was last well: what is wrong may be in it already"
        )
    else:
        walk.say(f"   lost would be what was written in the {duration(lost)} between it and the damage")
    if choice.newer:
        walk.say("   newer, and known less well (--backup ID chooses one):")
    for row in choice.newer[:_SHOWN]:
        less = duration(job.lost_seconds(row, well_at))
        walk.say(f"     {row.backup.id}: {row.proof}, {size(row.backup.size)}; lost would be {less}")
    if len(choice.newer) > _SHOWN:
        walk.say(f"     and {len(choice.newer) - _SHOWN} more")


def databases(walk: Walk, chosen: Opened, wanted: list[str] | None) -> list[str]:
    """Give the databases to bring back: those that are named, else all but the one that every server has."""
    held = chosen.backup.databases
    for name in wanted or ():
        if name not in held:
            raise NotFoundError(
                f"backup {chosen.backup.id} holds no database {name!r}", hint=f"It holds {', '.join(held)}."
            )
    if wanted:
        return list(dict.fromkeys(wanted))
    if _EVERYWHERE in held:
        walk.say(f"   {_EVERYWHERE} stays as it is: name it with --database where it matters")
    names = [name for name in held if name != _EVERYWHERE]
    if not names:
        raise UsageError(
            f"backup {chosen.backup.id} holds nothing else", hint=f"Say --database {_EVERYWHERE}."
        )
    return names


def restore(
    walk: Walk, chosen: Opened, wish: Wish, names: Sequence[str], within: Meter | None = None
) -> list[BroughtBack]:
    """Step 4. Raise what went wrong, after saying how things stand."""
    walk.step(4, "Restore")
    there = job.present(wish.into)
    for name in names:
        how = (
            "beside the damaged one, which it then replaces"
            if name in there
            else "anew: it is not there any more"
        )
        walk.say(f"   {name}: {how}")
    walk.ask("Begin?")
    done: list[BroughtBack] = []
    for name in names:
        walk.stop.check()
        try:
            result = job.bring_back(
                walk.opened.services,
                chosen,
                replace(wish, database=name),
                walk.stop,
                live=name in there,
                within=within,
            )
        except BaseException as error:  # also Ctrl-C: what is back so far is back
            walk.say(f"   {name}: FAILED: {error}")
            walk.say(f"   back so far: {', '.join(each.database for each in done) or 'none'}")
            _ways_back(walk, done)
            raise
        done.append(result)
        _time(walk, result)
        walk.say(f"   {name}: back after {duration(result.seconds)}")
    return done


def _time(walk: Walk, result: BroughtBack) -> None:
    """Add up what bringing a database back took, part by part."""
    comparing = result.restored.sameness.seconds if result.restored.sameness is not None else 0.0
    walk.watch.add("restore", result.restored.seconds)
    walk.watch.add("comparison", comparing)
    walk.watch.add("swap", result.seconds - result.restored.seconds - comparing)


def _ways_back(walk: Walk, done: Sequence[BroughtBack]) -> None:
    for each in done:
        if each.swapped is not None:
            walk.say(f"   {each.database}: the damaged one is kept as {each.swapped.kept}")
            if not walk.drill:
                walk.say(f"   the way back: {swap.way_back(each.swapped, walk.server)}")


def verify(walk: Walk, chosen: Opened, into: Conninfo, done: Sequence[BroughtBack]) -> None:
    """Step 5. Raise RestoreTestError where a check of the owner's does not hold and nobody is there to decide."""
    walk.step(5, "Verify")
    for each in done:
        _tell_database(walk, each)
    with walk.watch.phase("checks"):
        names = [each.database for each in done]
        answers = job.ask_checks(into, chosen, names, walk.target.restore_test, walk.stop)
    for answer in answers:
        walk.say(f"   check {answer.name} of {answer.database}: {answer.problem or 'it holds'}")
    failed = [answer.name for answer in answers if answer.problem is not None]
    if failed and (walk.drill or not walk.asks):
        raise RestoreTestError(
            f"a check of the owner's failed: {', '.join(failed)}",
            hint="Look whether the backup lacks something, or whether the check asks too much of it.",
        )
    walk.ask("Did you look into it, and is it what you need?")


def _tell_database(walk: Walk, each: BroughtBack) -> None:
    if (found := each.restored.sameness) is not None:
        held = tuple(replace(one, database=each.database) for one in found.databases)  # its name by now
        for text in sameness.lines(replace(found, databases=held)):
            walk.say(f"   {text}")
    else:
        for restored in each.restored.databases:
            known = restored.rows
            rows = "rows not counted" if known is None else f"{many(known, 'row')}, as in the backup"
            walk.say(f"   {each.database}: {many(restored.tables, 'table')}, {rows}")
    if each.swapped is not None and not walk.drill:  # a stand-in says nothing
        for text in swap.written(each.swapped):
            walk.say(f"   {text}")
        for note in each.swapped.notes:
            walk.say(f"   {note}")


def watch(walk: Walk, done: Sequence[BroughtBack]) -> None:
    """Step 7."""
    walk.step(7, "Watch")
    _ways_back(walk, done)
    if walk.drill:
        walk.say("   on the day: take a backup of the new state, and write down what happened")
    else:
        walk.say(f"   take a backup of the new state: holdfast backup {walk.target.name}")
    walk.say(
        f"   restoring took {duration(sum(each.seconds for each in done))}; the protocol is {walk.protocol.path}"
    )


def tell_drill(walk: Walk, drill: Drill) -> None:
    """Say how long a drill took, and what of it."""
    parts = ", ".join(f"{each.name} {duration(each.seconds)}" for each in drill.phases)
    walk.say(f"   the throwaway server is gone again; the drill took {duration(drill.seconds)} ({parts})")

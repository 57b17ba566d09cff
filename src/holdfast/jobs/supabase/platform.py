"""Asks the platform that a target lives on about its own backups and their time, and writes down what it says."""

from __future__ import annotations

from datetime import time

from holdfast.jobs import runner
from holdfast.jobs.services import Services
from holdfast.ledger import providers
from holdfast.model.errors import ConfigError, ProviderError
from holdfast.model.platform import BackupSchedule, PlatformBackups
from holdfast.model.run import MANUAL, Occasion
from holdfast.model.target import Target
from holdfast.providers.supabase_api import SupabaseApi
from holdfast.system.stop import Stop

_TO_SET = "The plan decides whether the time can be set: see Organization > Billing in the dashboard."
_REFUSED = 400


def api_of(target: Target, stop: Stop) -> SupabaseApi:
    """Give the API of the target's platform. Raise ConfigError where the target has none, or no token for it."""
    project = target.supabase
    if project is None:
        raise ConfigError(
            f"target {target.name} is on no hosting platform",
            hint='Set provider = "supabase" and project_ref, if it is a project there.',
        )
    if project.access_token is None:
        raise ConfigError(
            f"target {target.name} has no access token for the management API",
            hint="Make one at https://supabase.com/dashboard/account/tokens, and name its file with access_token_file.",
        )
    return SupabaseApi(ref=project.ref, token=project.access_token, url=project.api_url, stop=stop)


def backups(
    services: Services, target: Target, stop: Stop, *, occasion: Occasion = MANUAL
) -> PlatformBackups:
    """Ask for the platform's own backups, as a run of its own, and keep what the metrics tell."""
    runner.close_lost_runs(services, "provider", target.name)
    run = runner.new_run(services, "provider", target.name, occasion)

    def body(_: runner.Meter) -> PlatformBackups:
        found = api_of(target, stop).backups()
        providers.record(services.ledger, target.name, found, services.clock.now())
        return found

    return runner.execute(services, run, body)


def watch(services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    """Do it by the timetable. That there is no backup is no failure of the run: metrics and alerts tell of that."""
    if backups(services, target, stop, occasion=occasion).last_success is None:
        services.reporter.warn("the platform has no backup of its own", target=target.name)


def schedule(target: Target, stop: Stop, at: time | None) -> BackupSchedule:
    """Tell when the platform takes its daily backup, after it was asked for another time if `at` is given."""
    api = api_of(target, stop)
    try:
        return api.schedule() if at is None else api.set_schedule(at)
    except ProviderError as error:
        if error.status == _REFUSED:
            hint = "The time can be changed three times in 24 hours."
        elif error.status in {402, 404}:
            hint = f"This project has no time for backups that could be told or set. {_TO_SET}"
        else:
            raise
        raise ProviderError(error.message, hint=hint, status=error.status, said=error.said) from error

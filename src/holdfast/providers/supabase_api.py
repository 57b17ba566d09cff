"""Asks the management API of Supabase about one project, patiently where it says to wait, and explains its refusals."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from datetime import time as time_of_day
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote, urlsplit

from holdfast.model.errors import ProviderError
from holdfast.model.event import one_line
from holdfast.model.platform import BackupSchedule, PlatformBackups, PoolerAddress, Standing
from holdfast.providers import shapes, supabase_shapes
from holdfast.providers.exchange import Answer, Ask, Bounds, Method, check_address, exchange
from holdfast.providers.shapes import Shape, ShapeError
from holdfast.system.stop import Stop

T = TypeVar("T")
_SAID_LENGTH = 300
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0
_HINTS = {
    401: "The access token is wrong, was revoked or has expired: make a new one at https://supabase.com/dashboard/account/tokens.",
    402: "The organisation's plan does not include this: see Organization > Billing in the dashboard.",
    403: "The access token may not do this: its account, or its scopes, must reach this project.",
    404: "There is no such project for this token, or it has nothing of that kind: compare project_ref with the dashboard.",
    429: "Others use the same account's quota, which is counted by the minute: try again later.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SupabaseApi:
    """Asks about the project `ref`. Each call raises ProviderError; the `token` is in none of them, nor in a log.

    What fails for the moment is tried again for `patience` seconds, unless `stop` is requested.
    """

    ref: str
    token: str = field(repr=False)
    url: str
    stop: Stop = field(default_factory=Stop, repr=False)
    patience: float = 100.0  # the API counts requests by the minute, and blocks for the rest of it
    bounds: Bounds = field(default_factory=Bounds)

    def standing(self) -> Standing:
        """How the project is: its status, version and host."""
        return self._shaped(supabase_shapes.standing, self._get(""))

    def backups(self) -> PlatformBackups:
        """The platform's own backups."""
        return self._shaped(supabase_shapes.backups, self._get("/database/backups"))

    def schedule(self) -> BackupSchedule:
        """When the platform takes its daily backup."""
        return self._shaped(supabase_shapes.schedule, self._get("/database/backups/schedule"))

    def set_schedule(self, at: time_of_day) -> BackupSchedule:
        """Ask for another time of day, in UTC; it holds from the next window on."""
        return self._shaped(
            supabase_shapes.schedule,
            self._ask("PATCH", "/database/backups/schedule", {"schedule_for": f"{at:%H:%M:%S}"}),
        )

    def restore_to(self, at: datetime) -> None:
        """Start to restore the project to how it was then: what came later is lost. Returns when that has begun."""
        seconds = int(at.timestamp())
        if seconds <= 0:  # the API would take it for now
            raise ValueError("the time to restore to has to be after 1970")
        self._ask("POST", "/database/backups/restore-pitr", {"recovery_time_target_unix": seconds})

    def poolers(self) -> tuple[PoolerAddress, ...]:
        """Where the shared poolers of the project listen."""
        return self._shaped(supabase_shapes.poolers, self._get("/config/database/pooler"))

    def addons(self) -> tuple[str, ...]:
        """The add-ons that were bought, such as pitr_7 and ipv4_default."""
        return self._shaped(supabase_shapes.addons, self._get("/billing/addons"))

    def read_only(self) -> bool:
        """Whether the platform made the database read-only."""
        return self._shaped(supabase_shapes.read_only, self._get("/readonly"))

    def banned(self) -> tuple[str, ...]:
        """The addresses that the platform shut out, as it does after wrong passwords."""
        answer = self._ask("POST", "/network-bans/retrieve", repeatable=True)
        return self._shaped(supabase_shapes.banned, answer)

    def function_slugs(self) -> tuple[str, ...]:
        """The names of the Edge Functions."""
        return self._shaped(supabase_shapes.function_slugs, self._get("/functions"))

    def read(self, path: str) -> Answer:
        """Give what GET …{path} answers, as it is."""
        return self._get(path)

    def _get(self, path: str) -> Answer:
        return self._ask("GET", path, repeatable=True)

    def _shaped(self, read: Callable[[Shape], T], answer: Answer) -> T:
        try:
            return read(shapes.parsed(answer.body))
        except ShapeError as error:
            raise ProviderError(
                f"{self._host}: the answer is not what the API promises: {error}",
                hint="Something else may answer at this address, or the API has changed: look for a newer Holdfast.",
                status=answer.status,
            ) from error

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or "?"

    def _ask(
        self, method: Method, path: str, body: Mapping[str, object] | None = None, *, repeatable: bool = False
    ) -> Answer:
        """Send; again after what passes, where sending twice does no harm, or where it was refused unread."""
        check_address(self.url)
        ask = Ask(
            method=method,
            url=f"{self.url}/v1/projects/{quote(self.ref, safe='')}{path}",
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/json",
                "User-Agent": "Holdfast",
                **({} if body is None else {"Content-Type": "application/json"}),
            },
            body=None if body is None else json.dumps(body).encode(),
        )
        end = time.monotonic() + self.patience
        attempt = 0
        while True:
            self.stop.check()
            try:
                return self._tried(ask, path)
            except ProviderError as error:
                pause = error.retry_after or min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
                pause += random.uniform(0, pause / 4)  # noqa: S311 - so that many do not come back at once
                if not _may_pass(error, repeatable=repeatable) or time.monotonic() + pause > end:
                    raise
            self.stop.wait(pause)
            attempt += 1

    def _tried(self, ask: Ask, path: str) -> Answer:
        answer = exchange(ask, self.bounds)
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return answer
        raise self._refusal(ask, path, answer)

    def _refusal(self, ask: Ask, path: str, answer: Answer) -> ProviderError:
        said = one_line(_message(answer.body).replace(self.token, "***"), _SAID_LENGTH)
        hint = _HINTS.get(answer.status)
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
            hint = "Redirects are not followed, as the access token would go along: mend api_url."
        phrase = f"{answer.status} {_reason(answer.status)}".strip()
        return ProviderError(
            f"{self._host} answered {phrase} to {ask.method} …{path or '/' + self.ref}"
            + (f": {said}" if said else ""),
            hint=hint,
            status=answer.status,
            said=said,
            retry_after=_asked_pause(answer),
        )


def _may_pass(error: ProviderError, *, repeatable: bool) -> bool:
    """Whether to send again: what was refused unread, and where that does no harm, what broke off or failed there."""
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    return repeatable and (error.status is None or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR)


def _asked_pause(answer: Answer) -> float | None:
    """Read for how many seconds to wait: from the standard's header, or for a 429 from the API's own."""
    limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    for name in ("Retry-After", "X-RateLimit-Reset") if limited else ("Retry-After",):
        text = (answer.headers.get(name) or "").strip()
        if text.isascii() and text.isdigit() and (found := float(text)):
            return found
    return None


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _message(body: bytes) -> str:
    """The API's own words: a JSON object with `message`; else the beginning of whatever came."""
    try:
        found = shapes.parsed(body).at("message")
        return found.text() if found.there else ""
    except ShapeError:
        text = body[:_SAID_LENGTH].decode("utf-8", "replace")
        return "" if text.lstrip().startswith("<") else text  # a page of HTML says nothing here

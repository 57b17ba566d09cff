"""A server of ours that answers as the management API of Supabase does, by its published shapes, over real HTTP.

It holds one project: its backups, schedule, poolers and settings. It checks the token, counts requests by the minute where
it is told to, and can be made to fail: with a status, with a broken answer, or with none.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REF = "abcdefghijklmnopqrst"
TOKEN = "sbp_0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An answer that one request gets instead of the right one; `cut` leaves out that many bytes of its end."""

    status: int = 500
    body: bytes = b'{"message":"something broke"}'
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    hang: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: Message
    body: bytes


def _backups() -> dict[str, object]:
    return {
        "region": "eu-central-1",
        "walg_enabled": True,
        "pitr_enabled": True,
        "backups": [
            {
                "id": 41,
                "is_physical_backup": True,
                "status": "COMPLETED",
                "inserted_at": "2026-11-21T02:10:00.123Z",
            },
            {
                "id": 42,
                "is_physical_backup": True,
                "status": "FAILED",
                "inserted_at": "2026-11-22T02:10:00.000Z",
            },
        ],
        "physical_backup_data": {
            "earliest_physical_backup_date_unix": 1794708000,  # 2026-11-15 02:00
            "latest_physical_backup_date_unix": 1795341600,  # 2026-11-22 10:00
        },
    }


def pooler(**changed: object) -> dict[str, object]:
    """One entry of the poolers' list, as the API gives it for a shared pooler."""
    return {
        "identifier": REF,
        "database_type": "PRIMARY",
        "db_user": f"postgres.{REF}",
        "db_host": "aws-1-eu-central-1.pooler.supabase.com",
        "db_port": 6543,
        "db_name": "postgres",
        "connection_string": f"postgresql://postgres.{REF}:[YOUR-PASSWORD]@aws-1-eu-central-1.pooler.supabase.com:6543/postgres",
        "connectionString": f"postgresql://postgres.{REF}:[YOUR-PASSWORD]@aws-1-eu-central-1.pooler.supabase.com:6543/postgres",
        "default_pool_size": 15,
        "max_client_conn": 200,
        "pool_mode": "transaction",
        "is_using_scram_auth": True,
        **changed,
    }


def _schedule() -> dict[str, object]:
    return {"schedule_for": "02:00:00", "updated_at": "2026-11-01T00:00:00.000Z"}


def _settings() -> dict[str, object]:
    """What the reads of settings answer; bytes are given as they are, and a status instead of a body is a refusal."""
    return {
        "/functions": [
            {
                "id": "1",
                "slug": "hello",
                "name": "hello",
                "status": "ACTIVE",
                "version": 3,
                "verify_jwt": True,
            }
        ],
        "/functions/hello/body": b"EZBR\x00\x01the bundle of hello",
        "/config/auth": {"site_url": "https://shop.example", "disable_signup": False, "smtp_pass": "d41d8c"},
        "/config/auth/sso/providers": {"items": []},
        "/config/auth/third-party-auth": [],
        "/postgrest": {"db_schema": "public", "max_rows": 1000, "jwt_secret": "super-secret-jwt"},
        "/config/storage": {"fileSizeLimit": 52428800},
        "/config/realtime": {"private_only": False},
        "/config/database/postgres": {"max_connections": 60},
        "/network-restrictions": {"entitlement": "allowed", "config": {"dbAllowedCidrs": ["0.0.0.0/0"]}},
        "/ssl-enforcement": {"currentConfig": {"database": True}, "appliedSuccessfully": True},
        "/storage/buckets": [{"id": "avatars", "name": "avatars", "public": True}],
        "/database/migrations": [{"version": "20261101000000", "name": "init"}],
        "/custom-hostname": 404,
        "/secrets": [
            {"name": "STRIPE_KEY", "value": "9f86d081884c7d65", "updated_at": "2026-11-01T00:00:00Z"}
        ],
        "/pgsodium": 403,
    }


@dataclass(slots=True, kw_only=True)
class Platform:
    """The project as the server has it, to be changed by a test; what was asked lies in `got`.

    `after_restore` are the statuses that follow one another, one a look, after a restore was started. With `quota` only so
    many requests are answered, and then 429 with `reset` until the test gives more.
    """

    url: str = ""
    ref: str = REF
    token: str = TOKEN
    status: str = "ACTIVE_HEALTHY"
    host: str = f"db.{REF}.supabase.co"
    version: str = "17.6.1.054"
    backups: dict[str, object] = field(default_factory=_backups)
    schedule: dict[str, object] | int = field(default_factory=_schedule)
    schedule_changes_left: int = 3
    poolers: list[dict[str, object]] = field(default_factory=lambda: [pooler()])
    addons: list[str] = field(default_factory=lambda: ["pitr_7"])
    read_only: bool = False
    banned: list[str] = field(default_factory=list)
    settings: dict[str, object] = field(default_factory=_settings)
    after_restore: deque[str] = field(default_factory=lambda: deque(["RESTORING", "ACTIVE_HEALTHY"]))
    restored_to: list[int] = field(default_factory=list)
    while_restoring: list[Fault] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    quota: int | None = None
    reset: int = 1
    got: list[Asked] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _restoring: bool = False

    def asked(self) -> list[str]:
        """The requests so far, such as `GET /database/backups`."""
        prefix = f"/v1/projects/{self.ref}"
        return [f"{each.method} {each.path.removeprefix(prefix) or '/'}" for each in self.got]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        """The status and the body for a request that may be answered."""
        if not path.startswith(f"/v1/projects/{self.ref}"):
            return 404, {"message": "Project not found"}
        path = path.removeprefix(f"/v1/projects/{self.ref}")
        calls: dict[str, Callable[[], tuple[int, object]]] = {
            "GET ": self._project,
            "GET /database/backups": lambda: (200, self.backups),
            "GET /database/backups/schedule": self._schedule,
            "PATCH /database/backups/schedule": lambda: self._change_schedule(json.loads(body)),
            "POST /database/backups/restore-pitr": lambda: self._restore(json.loads(body)),
            "GET /config/database/pooler": lambda: (200, self.poolers),
            "GET /billing/addons": lambda: (200, self._addons()),
            "GET /readonly": lambda: (
                200,
                {"enabled": self.read_only, "override_enabled": False, "override_active_until": ""},
            ),
            "POST /network-bans/retrieve": lambda: (201, {"banned_ipv4_addresses": self.banned}),
        }
        if call := calls.get(f"{method} {path}"):
            return call()
        if method == "GET" and path in self.settings:
            found = self.settings[path]
            return (found, {"message": "not for you"}) if isinstance(found, int) else (200, found)
        return 404, {"message": f"Cannot {method} {path}"}

    def _project(self) -> tuple[int, object]:
        if self._restoring and self.after_restore:
            self.status = self.after_restore.popleft()
        return 200, {
            "id": self.ref,
            "ref": self.ref,
            "organization_id": "org",
            "organization_slug": "org",
            "name": "shop",
            "region": "eu-central-1",
            "created_at": "2026-01-01T00:00:00Z",
            "status": self.status,
            "database": {
                "host": self.host,
                "version": self.version,
                "postgres_engine": "17",
                "release_channel": "ga",
            },
        }

    def _schedule(self) -> tuple[int, object]:
        if isinstance(self.schedule, int):
            return self.schedule, {"message": "Backup schedule is not available"}
        return 200, self.schedule

    def _change_schedule(self, said: dict[str, object]) -> tuple[int, object]:
        if isinstance(self.schedule, int):
            return self._schedule()
        if not self.schedule_changes_left:
            return 400, {"message": "Backup schedule can be changed 3 times in 24 hours"}
        self.schedule_changes_left -= 1
        self.schedule = {**self.schedule, "schedule_for": said["schedule_for"]}
        return 200, self.schedule

    def _restore(self, said: dict[str, object]) -> tuple[int, object]:
        at = said.get("recovery_time_target_unix")
        if not isinstance(at, int) or at < 0:
            return 400, {"message": "recovery_time_target_unix must be an integer"}
        if not self.backups["pitr_enabled"]:
            return 400, {"message": "PITR is not enabled for this project."}
        self.restored_to.append(at)
        self._restoring = True
        self.faults.extend(self.while_restoring)
        return 201, b""

    def _addons(self) -> dict[str, object]:
        chosen = [
            {"type": each.partition("_")[0], "variant": {"id": each, "name": each}} for each in self.addons
        ]
        return {"selected_addons": chosen, "available_addons": []}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, platform: Platform) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.platform = platform

    def handle_error(self, *_: object) -> None:
        """A client that gives up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def _serve(self) -> None:
        platform = self.server.platform
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        platform.got.append(Asked(method=self.command, path=self.path, headers=self.headers, body=body))
        if platform.faults:
            self._fail(platform.faults.popleft())
        elif self.headers.get("Authorization") != f"Bearer {platform.token}":
            self._send(401, {"message": "Unauthorized"})
        elif platform.quota == 0:
            self._send(
                429,
                {"message": "ThrottlerException: Too Many Requests"},
                {"X-RateLimit-Reset": str(platform.reset)},
            )
            platform.quota = None
        else:
            if platform.quota is not None:
                platform.quota -= 1
            self._send(*platform.answer(self.command, self.path, body))

    def _fail(self, fault: Fault) -> None:
        if fault.hang:
            self.server.platform.ended.wait(60)
            return
        self._send(fault.status, fault.body, fault.headers, cut=fault.cut)

    def _send(
        self, status: int, body: object, headers: dict[str, str] | None = None, *, cut: int = 0
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - cut])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def supabase_api() -> Iterator[Platform]:
    """Run the server on loopback until the `with` ends."""
    platform = Platform()
    server = _Server(platform)
    platform.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield platform
    finally:
        platform.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()

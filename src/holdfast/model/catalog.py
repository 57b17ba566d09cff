"""The catalog of a backup: what existed in the server when it was taken. Stored encrypted, beside the dumps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdfast.model.schema import SchemaObject, fingerprint

CATALOG_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A relation that holds or shows rows. `kind` is pg_class.relkind (r, p, m, f, v); `rows` is an exact count.

    `rows` is None where it was not counted (fingerprint off, a kind without rows of its own, or left out);
    `rows_estimate` and `bytes` are the server's own figures. `left_out` says why the dump does not hold the
    table, `data_left_out` why it holds only its definition. `extension` names the one that the table belongs to.
    """

    oid: int
    schema: str
    name: str
    kind: str
    rows: int | None = None
    rows_estimate: int = 0
    bytes: int = 0
    persistence: str = "p"
    extension: str | None = None
    left_out: str | None = None
    data_left_out: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An object with a name in a schema, such as a sequence."""

    schema: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """An installed extension."""

    name: str
    version: str
    schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collation:
    """A collation in use and the version of its provider; a change of it can corrupt indexes."""

    schema: str
    name: str
    provider: str
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """`ALTER DATABASE … SET`, or `ALTER ROLE … IN DATABASE … SET` when `role` is given. `value` is the raw text."""

    role: str | None
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One privilege on a database. `grantee` None is PUBLIC."""

    grantee: str | None
    grantor: str
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityLabel:
    """`SECURITY LABEL FOR provider ON DATABASE`."""

    provider: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """A database's own properties. `provider` is c, i or b; `grants` None means the default privileges."""

    owner: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str | None
    icu_rules: str | None
    collation_version: str | None
    tablespace: str
    connection_limit: int
    comment: str | None
    grants: tuple[Grant, ...] | None
    settings: tuple[Setting, ...]
    labels: tuple[SecurityLabel, ...] = ()
    is_template: bool = False


SEQUENCE_VALUE = "sequence value"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that exists in the server and that the backup does not hold, and why."""

    kind: str
    name: str
    reason: str

    @classmethod
    def value_of(cls, schema: str, sequence: str, reason: str) -> LeftOut:
        """Tell of a sequence that is held, but not what it stood at."""
        return cls(kind=SEQUENCE_VALUE, name=f"{schema}.{sequence}", reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A logical replication subscription; restored unconnected."""

    name: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrations:
    """What a migration tool has applied, as its own table tells: all versions (the newest thousands), in order."""

    tool: str
    table: str
    applied: tuple[str, ...]

    @property
    def version(self) -> str:
        """The one applied last."""
        return self.applied[-1] if self.applied else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The catalog of one database, read in the snapshot that its dump used.

    `schema_objects` is None where the schema was not kept: by an older program, or because it is too large.
    """

    name: str
    properties: Properties
    schemas: tuple[str, ...]
    tables: tuple[Table, ...]
    sequences: tuple[Named, ...]
    large_objects: int
    extensions: tuple[Extension, ...]
    collations: tuple[Collation, ...]
    subscriptions: tuple[Subscription, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    schema_objects: tuple[SchemaObject, ...] | None = None
    migrations: tuple[Migrations, ...] = ()

    @property
    def migration(self) -> str | None:
        """What was applied last, the tool before it; None where nothing was."""
        said = (f"{each.tool} {each.version}" for each in self.migrations if each.applied)
        return ", ".join(said) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Whose server it was, where the server is a part of something larger: `supabase`, and the project's `ref`.

    `extras` are the words of supabase_extras: what was wanted beyond what the platform's own dump holds.
    """

    name: str
    ref: str
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What the server held. `databases` are those in the backup; `left_out` names others, and why they are not.

    `imported_from` names the files of another program that the backup was made from: what is known is what they tell.
    """

    version: int
    server_version: str
    version_num: int
    system_identifier: str | None
    roles: tuple[str, ...]
    tablespaces: Mapping[str, str]
    role_passwords: bool
    databases: tuple[Database, ...]
    left_out: tuple[LeftOut, ...] = ()
    imported_from: tuple[str, ...] = ()
    platform: Platform | None = None

    def database(self, name: str) -> Database | None:
        """Find a database by name, or None."""
        return next((database for database in self.databases if database.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseCoverage:
    """What a backup holds of one database: `rows` is None where no table was counted.

    Where some were not, the server's own estimates stand in for them. `schema` is the fingerprint of its schema,
    `migration` what was applied last, with the tool before it; None where that is not known.
    """

    name: str
    tables: int
    rows: int | None
    schema: str | None = None
    migration: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the user's tables a backup holds; kept in the ledger, because a writer cannot open the catalog."""

    tables: int
    tables_covered: int
    rows: int | None
    left_out: tuple[LeftOut, ...]
    databases: tuple[DatabaseCoverage, ...] = ()


def coverage(catalog: Catalog) -> Coverage:
    """Summarise a catalog: tables of extensions and temporary ones aside."""
    tables = [(database.name, table) for database in catalog.databases for table in _users(database)]
    counts = [table.rows for _, table in tables if table.rows is not None]
    left_out = list(catalog.left_out)
    for database in catalog.databases:
        left_out += [
            LeftOut(kind=item.kind, name=f"{database.name}: {item.name}", reason=item.reason)
            for item in database.left_out
        ]
    for name, table in tables:
        qualified = f"{name}: {table.schema}.{table.name}"
        if table.left_out:
            left_out.append(LeftOut(kind="table", name=qualified, reason=table.left_out))
        elif table.data_left_out:
            left_out.append(LeftOut(kind="rows", name=qualified, reason=table.data_left_out))
    return Coverage(
        tables=len(tables),
        tables_covered=sum(1 for _, table in tables if table.left_out is None),
        rows=sum(counts) if counts else None,
        left_out=tuple(left_out),
        databases=tuple(_database_coverage(database) for database in catalog.databases),
    )


def _users(database: Database) -> Iterator[Table]:
    for table in database.tables:
        if table.extension is None and table.kind in "rpm" and table.persistence != "t":
            yield table


def _database_coverage(database: Database) -> DatabaseCoverage:
    held = [table for table in _users(database) if table.left_out is None]
    filled = [table for table in held if table.kind in "rm" and table.data_left_out is None]
    counted = not filled or any(table.rows is not None for table in filled)
    rows = sum(max(table.rows_estimate, 0) if table.rows is None else table.rows for table in filled)
    return DatabaseCoverage(
        name=database.name,
        tables=len(held),
        rows=rows if counted else None,
        schema=None if database.schema_objects is None else fingerprint(database.schema_objects),
        migration=database.migration,
    )

"""Ways in which a restored torture database can be not the same, each with what a comparison has to say of it."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.postgres.conninfo import Conninfo
from support.postgres import execute


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """A change, and the differences that it must make: kind, name, and how. `also` may differ with it."""

    name: str
    sql: str
    differs: tuple[tuple[str, str, str], ...]
    also: tuple[tuple[str, str], ...] = ()


def _one(
    name: str, sql: str, kind: str, thing: str, how: str = "different", *also: tuple[str, str]
) -> Corruption:
    if kind == "large object":
        also = (("large objects", "all"),)
    return Corruption(name=name, sql=sql, differs=((kind, thing, how),), also=also)


CORRUPTIONS = (
    # Rows
    _one("a row changed", "UPDATE public.tree SET up = 3 WHERE id = 1", "rows", "public.tree"),
    _one("a row missing", "DELETE FROM public.hashed_0 WHERE ctid = (SELECT min(ctid) FROM public.hashed_0)", "rows", "public.hashed_0"),
    _one("a row twice", "INSERT INTO public.lines VALUES ('')", "rows", "public.lines"),
    _one("an empty text for a NULL", "UPDATE app.texts SET t = '' WHERE id = 201", "rows", "app.texts"),
    _one("another sign of zero", "UPDATE app.more_edges SET f8 = 0 WHERE num > 1", "rows", "app.more_edges"),
    _one("values exchanged between rows", "UPDATE app.secrets SET owner = CASE owner WHEN 'torture_reader' THEN 'torture_writer' ELSE 'torture_reader' END", "rows", "app.secrets"),
    _one("a row without columns missing", "DELETE FROM public.no_columns WHERE ctid = '(0,1)'", "rows", "public.no_columns"),
    _one("a row in a partition", "UPDATE public.hash_of_enum SET v = -v WHERE v = 50", "rows", "public.hash_of_enum"),
    _one("an unlogged table emptied", "TRUNCATE public.unlogged", "rows", "public.unlogged"),
    _one("a row where the archive has none", "INSERT INTO public.dot VALUES (1)", "rows", "public.dot"),
    # Indexes and constraints
    _one("an index missing", 'DROP INDEX app."odd index"', "index", "app.odd index", "missing", ("comment", 'INDEX app."odd index"')),
    _one("an index of another order", "DROP INDEX app.on_collated; CREATE UNIQUE INDEX on_collated ON app.edges (t)", "index", "app.on_collated"),
    _one("a constraint not validated", "ALTER TABLE public.parent DROP CONSTRAINT parent_note_check; ALTER TABLE public.parent ADD CONSTRAINT parent_note_check CHECK (note <> '') NOT VALID", "check constraint", "public.parent parent_note_check", "unexpected", ("table", "public.parent")),
    _one("a primary key missing", "ALTER TABLE public.egg DROP CONSTRAINT egg_pkey CASCADE", "constraint", "public.egg egg_pkey", "missing", ("comment", 'CONSTRAINT public."hen\'s egg" ON hen'), ("fk constraint", "public.hen hen's egg")),
    _one("an exclusion missing", "ALTER TABLE public.bookings DROP CONSTRAINT bookings_during_room_excl", "constraint", "public.bookings bookings_during_room_excl", "missing"),
    _one("a foreign key not deferrable", "ALTER TABLE public.tree ALTER CONSTRAINT tree_up_fkey DEFERRABLE", "fk constraint", "public.tree tree_up_fkey"),
    _one("a column that may be null", "ALTER TABLE public.dropped_columns ALTER COLUMN a SET NOT NULL", "table", "public.dropped_columns"),
    # Definitions
    _one("a default changed", "ALTER TABLE public.child ALTER COLUMN extra SET DEFAULT 6", "table", "public.child", "different", ("default", "public.grandchild extra")),
    _one("a collation changed", 'ALTER TABLE public.lines ALTER COLUMN line TYPE text COLLATE "C"', "table", "public.lines"),
    Corruption(
        name="another order of columns",
        sql="DROP TABLE public.referring; CREATE TABLE public.referring (region text, day date); INSERT INTO public.referring (day, region) SELECT day, region FROM public.sales ORDER BY day LIMIT 3",
        also=(("fk constraint", "public.referring referring_day_region_fkey"),),
        differs=(("table", "public.referring", "different"), ("rows", "public.referring", "different"), ("columns", "public.referring", "different")),
    ),
    _one("a trigger enabled", "ALTER TABLE public.typed ENABLE TRIGGER disabled", "trigger", "public.typed disabled"),
    _one("a trigger missing", "DROP TRIGGER deferred ON public.typed", "trigger", "public.typed deferred", "missing", ("comment", "TRIGGER public.deferred ON typed")),
    _one("a rule enabled", 'ALTER TABLE app.texts ENABLE RULE "also"', "rule", "app.texts also"),
    _one("a rule missing", 'DROP RULE "no delete" ON public.empty', "rule", "public.empty no delete", "missing"),
    _one("a policy missing", "DROP POLICY restrictive ON app.secrets", "policy", "app.secrets restrictive", "missing"),
    _one("row security off", "ALTER TABLE app.secrets DISABLE ROW LEVEL SECURITY", "row security", "app.secrets", "missing"),
    _one("row security not forced", "ALTER TABLE app.secrets NO FORCE ROW LEVEL SECURITY", "table", "app.secrets"),
    _one("a function of another path", "ALTER FUNCTION app.as_owner(text) SET search_path = public", "function", "app.as_owner(text)"),
    _one("a function no longer its owner's", "ALTER FUNCTION app.as_owner(text) SECURITY INVOKER", "function", "app.as_owner(text)"),
    _one("a view changed", "CREATE OR REPLACE VIEW public.insertable AS SELECT x FROM public.empty WHERE x > 0", "view", "public.insertable"),
    _one("a type's value", "ALTER TYPE app.mood ADD VALUE 'new'", "type", "app.mood"),
    _one("a domain's constraint", 'ALTER DOMAIN app.positive DROP CONSTRAINT "must be > 0"', "domain", "app.positive", "different", ("comment", 'CONSTRAINT app."must be > 0" ON DOMAIN positive')),
    _one("statistics missing", 'DROP STATISTICS app."stat s"', "statistics", "app.stat s", "missing", ("comment", 'STATISTICS app."stat s"')),
    _one("a table logged", "ALTER TABLE public.unlogged SET LOGGED", "table", "public.unlogged"),
    _one("a partition detached", "ALTER TABLE public.hashed DETACH PARTITION public.hashed_1", "table attach", "public.hashed_1", "missing"),
    _one("an extra table", "CREATE TABLE public.extra ()", "table", "public.extra", "unexpected"),
    _one("an operator missing", "DROP OPERATOR app.<< (app.pair, app.pair)", "operator", "app.<<", "missing"),
    _one("a cast missing", "DROP CAST (text AS app.mood)", "cast", "CAST (text AS app.mood)", "missing"),
    _one("a mapping of text search", "ALTER TEXT SEARCH CONFIGURATION app.search DROP MAPPING FOR word", "text search configuration", "app.search"),
    _one("replica identity", "ALTER TABLE public.egg REPLICA IDENTITY DEFAULT", "table", "public.egg"),
    _one("a publication missing", 'DROP PUBLICATION "all of it"', "publication", "all of it", "missing"),
    _one("a table out of a publication", "ALTER PUBLICATION partly DROP TABLE public.hen", "publication table", "public.partly hen", "missing"),
    _one("an event trigger missing", "DROP EVENT TRIGGER torture_off", "event trigger", "torture_off", "missing", ("comment", "EVENT TRIGGER torture_off")),
    _one("a user mapping's password", """ALTER USER MAPPING FOR torture_reader SERVER "far away" OPTIONS (SET password 'other')""", "user mapping", "USER MAPPING torture_reader SERVER far away"),
    _one("a foreign server's host", """ALTER SERVER "far away" OPTIONS (SET host '127.0.0.2')""", "server", "far away"),
    # Owners, privileges, comments
    _one("an owner changed", "ALTER TABLE public.dot OWNER TO torture_reader", "table", "public.dot"),
    _one("a privilege missing", "SET ROLE torture_writer; REVOKE SELECT ON public.child FROM torture_reader", "acl", "TABLE public.child"),
    _one("a privilege on a column", "REVOKE UPDATE (t) ON app.edges FROM torture_reader", "acl", "COLUMN app.edges.t"),
    _one("a privilege for everybody", "GRANT SELECT ON public.egg TO PUBLIC", "acl", "TABLE public.egg", "unexpected"),
    _one("default privileges", 'ALTER DEFAULT PRIVILEGES FOR ROLE "torture owner" IN SCHEMA app REVOKE SELECT ON TABLES FROM torture_reader', "default acl", "app.DEFAULT PRIVILEGES FOR TABLES", "missing"),
    _one("a comment lost", "COMMENT ON TABLE public.child IS NULL", "comment", "TABLE public.child", "missing"),
    _one("a comment changed", "COMMENT ON SEQUENCE public.down IS 'another'", "comment", "SEQUENCE public.down"),
    # Sequences, large objects, views that hold rows
    _one("a sequence off by one", "SELECT nextval('public.untouched'), nextval('public.untouched')", "sequence", "public.untouched"),
    _one("a sequence called", """SELECT setval('public."Set.To"', 9223372036854775807, true)""", "sequence", 'public."Set.To"'),
    _one("a sequence's step", "ALTER SEQUENCE public.down INCREMENT -2", "sequence", "public.down"),
    _one("a byte of a large object", r"SELECT lo_put(4243, 777, '\x00')", "large object", "4243"),
    _one("a large object missing", "SELECT lo_unlink(4244)", "large object", "4244", "missing"),
    _one("a large object's owner", "ALTER LARGE OBJECT 4242 OWNER TO torture_reader", "large object", "4242"),
    _one("a large object more", "SELECT lo_create(5555)", "large object", "5555", "unexpected"),
    _one("a view without rows", "REFRESH MATERIALIZED VIEW public.a_mv_on_mv WITH NO DATA", "materialized view", "public.a_mv_on_mv"),
    # Properties of the database
    _one("the database's owner", "ALTER DATABASE {} OWNER TO torture_reader", "property", "owner", "different", ("property", "grants")),
    _one("the database's setting", "ALTER DATABASE {} RESET work_mem", "property", "setting work_mem", "missing"),
    _one("a role's setting in the database", "ALTER ROLE torture_reader IN DATABASE {} RESET search_path", "property", "setting search_path of torture_reader", "missing"),
    _one("the database's privileges", "GRANT CONNECT ON DATABASE {} TO PUBLIC", "property", "grants"),
    _one("the database's comment", "COMMENT ON DATABASE {} IS NULL", "property", "comment"),
    _one("the database's limit", "ALTER DATABASE {} CONNECTION LIMIT 7", "property", "connection limit"),
)  # fmt: skip


def corrupt(where: Conninfo, *corruptions: Corruption) -> None:
    """Make the changes. Publications do not stand in their way: those forbid to change tables without a key."""
    execute(where, "UPDATE pg_publication SET pubupdate = false, pubdelete = false")
    for each in corruptions:
        execute(where, each.sql.replace("{}", f'"{where.database}"'))
    execute(where, "UPDATE pg_publication SET pubupdate = pubname <> 'all of it', pubdelete = true")

"""The catalog's queries, for servers 13 to 18. Schemas named pg_… and information_schema are PostgreSQL's own."""

# ruff: noqa: S608 - every piece is a constant of this file

from __future__ import annotations

from typing import LiteralString

V15 = 150000

_MEMBER: LiteralString = (
    " LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0"
    " AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' LEFT JOIN pg_extension e ON e.oid = d.refobjid"
)
_USERS: LiteralString = " n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

ROLES: LiteralString = "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1"
TABLESPACES: LiteralString = (
    "SELECT spcname::text, pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname !~ '^pg_' ORDER BY 1"
)
STANDING: LiteralString = "SELECT rolsuper, pg_is_in_recovery() FROM pg_roles WHERE rolname = current_user"
SCHEMAS: LiteralString = f"SELECT n.nspname::text FROM pg_namespace n WHERE{_USERS} ORDER BY 1"

# Sizes come from relpages (as of the last VACUUM or ANALYZE): asking the file system locks each table.
TABLES: LiteralString = (
    "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,"
    " greatest(c.reltuples, 0)::bigint,"
    " (c.relpages::bigint + coalesce(t.relpages, 0) + coalesce(i.pages, 0)) * current_setting('block_size')::bigint,"
    " e.extname::text,"
    # Only what an extension marks as configuration, without a condition, is dumped whole.
    " coalesce(e.extcondition[array_position(e.extconfig, c.oid)] = '', false)"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid"
    " LEFT JOIN (SELECT x.indrelid, sum(k.relpages)::bigint AS pages FROM pg_index x"
    " JOIN pg_class k ON k.oid = x.indexrelid GROUP BY 1) i ON i.indrelid = c.oid"
    f"{_MEMBER} WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v') AND{_USERS} ORDER BY 2, 3"
)
# What an extension does not mark as configuration is in no dump, whoever wrote the rows; as far as the statistics tell,
# there are some.
OF_EXTENSIONS: LiteralString = (
    "SELECT n.nspname || '.' || c.relname, e.extname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    f"{_MEMBER} WHERE c.relkind = 'r' AND e.oid IS NOT NULL AND c.oid <> ALL(coalesce(e.extconfig, '{{}}'))"
    f" AND (c.reltuples <> 0 OR c.relpages > 0) AND{_USERS} ORDER BY 1, 2"
)
SEQUENCES: LiteralString = (
    "SELECT c.oid, n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    f"{_MEMBER} WHERE c.relkind = 'S' AND e.oid IS NULL AND{_USERS} ORDER BY 2, 3"
)
# pg_dump does not read a materialised view, so one that we may not read is no failure.
UNCOUNTABLE_MATVIEWS: LiteralString = (
    "SELECT oid FROM pg_class WHERE relkind = 'm' AND (NOT relispopulated OR NOT has_table_privilege(oid, 'SELECT')"
    " OR NOT has_schema_privilege(relnamespace, 'USAGE'))"
)
# The planner works out what is constant in index expressions, predicates and statistics as whoever asks: a function
# there would run as us. COPY, which pg_dump uses, plans nothing.
FOREIGN_CODE: LiteralString = (
    "SELECT x.relation FROM (SELECT 'pg_class'::regclass, indexrelid, indrelid FROM pg_index"
    " UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxrelid FROM pg_statistic_ext) x(class, id, relation)"
    " JOIN pg_depend d ON d.classid = x.class AND d.objid = x.id"
    " AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)"
    " LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid"
    " JOIN pg_proc f ON f.oid = coalesce(o.oprcode::oid, d.refobjid)"
    " JOIN pg_roles r ON r.oid = f.proowner WHERE NOT r.rolsuper AND r.rolname <> current_user"
)
# TRUNCATE and most of what rewrites a table make the new file visible to every snapshot, and its rows to none before.
# A column is read as the snapshot sees it, the function tells what is there now.
REWRITTEN: LiteralString = (
    "SELECT oid FROM pg_class WHERE oid = ANY(%s) AND relfilenode IS DISTINCT FROM pg_relation_filenode(oid)"
)
LARGE_OBJECTS: LiteralString = "SELECT count(*) FROM pg_largeobject_metadata"
EXTENSIONS: LiteralString = (
    "SELECT extname::text, extversion, n.nspname::text FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace"
    " ORDER BY 1"
)
SUBSCRIPTIONS: LiteralString = (
    "SELECT subname::text, subenabled FROM pg_subscription"
    " WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1"
)
HIDDEN_MAPPINGS: LiteralString = (
    "SELECT srvname::text, usename::text FROM pg_user_mappings WHERE umoptions IS NULL ORDER BY 1, 2"
)

# In use: the default one, and those of columns and index keys. "C" and "POSIX" have no version.
_COLLATIONS: LiteralString = (
    " FROM pg_database b CROSS JOIN pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace"
    " WHERE b.datname = current_database() AND l.collname NOT IN ('C', 'POSIX')"
    " AND (l.collname = 'default' OR l.oid IN (SELECT a.attcollation FROM pg_attribute a WHERE a.attrelid >= 16384"
    " UNION SELECT unnest(i.indcollation::oid[]) FROM pg_index i WHERE i.indrelid >= 16384)) ORDER BY 1, 2"
)
COLLATIONS: LiteralString = (
    "SELECT n.nspname::text, l.collname::text, l.collprovider::text, pg_collation_actual_version(l.oid)"
    f"{_COLLATIONS}"
)
COLLATIONS_15: LiteralString = (
    "SELECT n.nspname::text, l.collname::text,"
    " CASE l.collprovider WHEN 'd' THEN b.datlocprovider ELSE l.collprovider END::text,"
    " CASE l.collprovider WHEN 'd' THEN pg_database_collation_actual_version(b.oid)"
    f" ELSE pg_collation_actual_version(l.oid) END{_COLLATIONS}"
)

# A role without USAGE of the schema cannot read the table either, whatever its own privileges say.
READABLE: LiteralString = (
    "SELECT c.oid, NOT has_table_privilege(c.oid, 'SELECT') OR NOT has_schema_privilege(c.relnamespace, 'USAGE'),"
    " row_security_active(c.oid) FROM pg_class c WHERE c.oid = ANY(%s)"
)
# The values are the OIDs of what is left out, twice. pg_dump locks and reads tables and sequences; of views and the like it reads the definition only.
UNREADABLE: LiteralString = (
    "SELECT 'schema', n.nspname::text, 'no USAGE privilege' FROM pg_namespace n"
    f" WHERE{_USERS} AND NOT has_schema_privilege(n.oid, 'USAGE')"
    " AND EXISTS (SELECT FROM pg_class r WHERE r.relnamespace = n.oid AND r.relkind IN ('r', 'p', 'S') AND r.oid <> ALL(%s))"
    " UNION ALL SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, n.nspname || '.' || c.relname,"
    " CASE WHEN readable THEN 'row-level security hides rows from this role' ELSE 'no SELECT privilege' END"
    f" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace{_MEMBER}"
    " CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')"
    " ELSE has_table_privilege(c.oid, 'SELECT') END AS readable) p"
    " WHERE c.relkind IN ('r', 'p', 'S') AND (e.oid IS NULL OR c.oid = ANY(e.extconfig))"
    f" AND{_USERS} AND c.oid <> ALL(%s) AND (NOT readable OR row_security_active(c.oid)) ORDER BY 1, 2"
)
UNREADABLE_LARGE_OBJECTS: LiteralString = (
    "SELECT count(*), (array_agg(m.oid ORDER BY m.oid))[1:5] FROM pg_largeobject_metadata m"
    " WHERE NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
    " AND current_setting('lo_compat_privileges') = 'off' AND NOT EXISTS (SELECT"
    " FROM aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) x WHERE x.privilege_type = 'SELECT'"
    " AND (x.grantee = 0 OR pg_has_role(x.grantee, 'USAGE')))"
)

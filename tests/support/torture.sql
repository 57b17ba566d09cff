-- A nasty database for dump and restore: loads into PostgreSQL 13 to 18, by psycopg or psql, as a superuser.
-- The roles "torture owner", torture_reader and torture_writer exist already (torture.py).

SET client_min_messages = warning;
SET check_function_bodies = on;

-- Schemas, among them names that need quotes ------------------------------------------------------------------
CREATE SCHEMA app AUTHORIZATION "torture owner";
COMMENT ON SCHEMA app IS $$it's a "schema"; with \backslash, semicolons; and
two lines$$;
CREATE SCHEMA "Mixed.Case/With ""Quotes"" und Übergröße 数据";
CREATE SCHEMA aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg;
GRANT USAGE ON SCHEMA app TO torture_reader WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE "torture owner" IN SCHEMA app GRANT SELECT ON TABLES TO torture_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE "torture owner" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "torture owner" GRANT USAGE ON SEQUENCES TO torture_writer;

-- Types ---------------------------------------------------------------------------------------------------------
CREATE TYPE app.mood AS ENUM ('sad', 'it''s ok', 'happy "very"', 'ä', '');
CREATE TYPE app.pair AS ("left" integer, "Right side" text);
CREATE DOMAIN app.positive AS integer DEFAULT 1 CONSTRAINT "must be > 0" CHECK (VALUE > 0);
CREATE DOMAIN app.positives AS app.positive[] CHECK (cardinality(VALUE) < 10);
CREATE TYPE app.floats AS RANGE (subtype = double precision, subtype_diff = float8mi);
COMMENT ON TYPE app.mood IS 'how one feels';
COMMENT ON CONSTRAINT "must be > 0" ON DOMAIN app.positive IS 'a comment on a domain''s constraint';

CREATE FUNCTION app.add(a integer, b integer DEFAULT 1, VARIADIC more integer[] DEFAULT '{}') RETURNS integer
  LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = app, "$user", pg_catalog AS $_$
BEGIN
  -- \connect is no command in here; nor is \. the end of a COPY
  RETURN a + b + coalesce((SELECT sum(m) FROM unnest(more) m), 0); -- $$ ' " \
END
$_$;
CREATE PROCEDURE app.noop(INOUT x integer) LANGUAGE sql AS 'SELECT x';
CREATE AGGREGATE app.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE FUNCTION app.pair_text(app.pair) RETURNS text LANGUAGE sql IMMUTABLE STRICT
  AS $$SELECT ($1)."left"::text || ':' || ($1)."Right side"$$;
CREATE CAST (app.pair AS text) WITH FUNCTION app.pair_text(app.pair) AS ASSIGNMENT;
CREATE FUNCTION app.same(app.pair, app.pair) RETURNS boolean LANGUAGE sql IMMUTABLE
  AS $$SELECT ($1)."left" = ($2)."left"$$;
CREATE OPERATOR app.=~= (LEFTARG = app.pair, RIGHTARG = app.pair, FUNCTION = app.same, COMMUTATOR = OPERATOR(app.=~=));
CREATE TEXT SEARCH DICTIONARY app.plain (TEMPLATE = pg_catalog.simple, stopwords = english);
CREATE TEXT SEARCH CONFIGURATION app.search (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION app.search ALTER MAPPING FOR asciiword WITH app.plain;
CREATE COLLATION app."Case C" (provider = libc, locale = 'C');

-- Values at their edges -----------------------------------------------------------------------------------------
CREATE TABLE app.edges (
  id bigint GENERATED ALWAYS AS IDENTITY (START WITH -5 INCREMENT BY 7 MINVALUE -9223372036854775808) PRIMARY KEY,
  small smallint, big bigint, num numeric, f4 real, f8 double precision, cash money, t text, v varchar(3), c character(5),
  raw bytea, stamp timestamp, stamptz timestamptz, d date, tod time, todtz timetz, span interval, b boolean,
  bits bit varying, u uuid, j json, jb jsonb, x xml, p point, net inet, mac macaddr8, ts tsvector, tq tsquery,
  arr integer[], texts text[][], m app.mood, pr app.pair, pos app.positive, poss app.positives, r int4range, fr app.floats,
  lsn pg_lsn, cls regclass, proc regprocedure, "char" "char", nm name, o oid,
  doubled bigint GENERATED ALWAYS AS (big / 2) STORED
);
INSERT INTO app.edges (small) VALUES (NULL);
INSERT INTO app.edges (small, big, num, f4, f8, cash, t, v, c, raw, stamp, stamptz, d, tod, todtz, span, b, bits, u, j, jb,
  p, net, mac, ts, tq, arr, texts, m, pr, pos, poss, r, fr, lsn, cls, proc, "char", nm, o)
VALUES (-32768, -9223372036854775808, 'NaN', '-Infinity', 'NaN', '-92233720368547758.08',
  E'tab\there, newline\n, cr\r, backslash \\, \\N, \\., "quotes", ''single'', \x01\x7f, ü, 数, 🐘', 'äöü', 'ab',
  '\x00ff5c2e0a5c4e', '-infinity', 'infinity', '-infinity', '24:00:00', '00:00:00+15:59', '-178000000 years', true,
  B'', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '{"a": 1, "a": 2 }', '{"a": [1e400, null, "\u00fc"]}',
  '(1e300,-0)', '::/0', '08:00:2b:01:02:03:04:05', 'a:1A b', 'a & !b', '{}', '{{"a,b",NULL},{"\"",""}}', '',
  ROW(NULL, '(,"')::app.pair, 2147483647, '{1,2}', 'empty', '[-Infinity,NaN]', 'FFFFFFFF/FFFFFFFF', 'app.edges',
  'app.same(app.pair,app.pair)', '\', 'Name', 4294967295);
INSERT INTO app.edges (num, f8, f4, stamp, d, span, t, arr)
VALUES (-1e-1000, 5e-324, 1.17549435e-38, '4713-01-01 00:00:00 BC', '5874897-12-31', '1 mon -1 day 00:00:00.000001', '\.',
  '[-2:0]={1,NULL,3}'), (1e1000 + 1, 0.1::float8 + 0.2, 'NaN', '294276-12-31 23:59:59.999999', '0044-03-15 BC', '0', '', NULL);
DO $$BEGIN
  UPDATE app.edges SET x = '<a b="''">&lt;</a>' WHERE small IS NOT NULL;
EXCEPTION WHEN feature_not_supported THEN NULL; -- a server built without libxml
END$$;
COMMENT ON COLUMN app.edges."char" IS E'a column''s comment\nwith \\ and two lines';

-- Names ---------------------------------------------------------------------------------------------------------
CREATE TABLE "Mixed.Case/With ""Quotes"" und Übergröße 数据"."Tab.le ""x""/ 'y' \ 
new line; -- drop" ("Col ""1""" text DEFAULT 'de''fault\', "select" integer, t text, "col.umn/ü
x" integer);
INSERT INTO "Mixed.Case/With ""Quotes"" und Übergröße 数据"."Tab.le ""x""/ 'y' \ 
new line; -- drop" VALUES ('a', 1, 'column t', 2);
CREATE TABLE aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg.hhhhhhhhhhiiiiiiiiiijjjjjjjjjjkkkkkkkkkkllllllllllmmmmmmmmmmnnn
  (ooooooooooppppppppppqqqqqqqqqqrrrrrrrrrrssssssssssttttttttttuuu serial);
INSERT INTO aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg.hhhhhhhhhhiiiiiiiiiijjjjjjjjjjkkkkkkkkkkllllllllllmmmmmmmmmmnnn
  DEFAULT VALUES;
CREATE TABLE public."user" ("order" integer, "group" integer);
CREATE TABLE public."UPPER" (x integer);
CREATE TABLE public."dollar$" (x integer);
CREATE TABLE public.dot (x integer);
CREATE TABLE public."d.t" (x integer);
CREATE TABLE public."*" (x integer);
CREATE TABLE public."%s" (x integer);

-- Odd shapes ----------------------------------------------------------------------------------------------------
CREATE TABLE public.no_columns ();
INSERT INTO public.no_columns DEFAULT VALUES;
INSERT INTO public.no_columns DEFAULT VALUES;
CREATE TABLE public.dropped_columns (a integer, b text, c integer);
INSERT INTO public.dropped_columns VALUES (1, 'gone', 3);
ALTER TABLE public.dropped_columns DROP COLUMN b;
ALTER TABLE public.dropped_columns ADD COLUMN d integer DEFAULT 7;
CREATE TABLE public.empty (x integer);
CREATE UNLOGGED TABLE public.unlogged (x integer);
INSERT INTO public.unlogged SELECT generate_series(1, 10);
DO $$BEGIN
  EXECUTE (SELECT 'CREATE TABLE public.wide (' || string_agg('c' || i || ' smallint', ', ') || ')' FROM generate_series(1, 1600) i);
  EXECUTE 'INSERT INTO public.wide (c1, c1600) VALUES (1, 1600)';
END$$;
CREATE TABLE public.big_values (id integer PRIMARY KEY, t text, z bytea);
ALTER TABLE public.big_values ALTER COLUMN t SET STORAGE EXTERNAL;
INSERT INTO public.big_values VALUES (1, repeat('0123456789', 100000), decode(repeat('00ff', 50000), 'hex'));
CREATE TYPE app.typed_row AS (a integer, b text);
CREATE TABLE public.typed OF app.typed_row (PRIMARY KEY (a));
INSERT INTO public.typed VALUES (1, 'x');

-- Inheritance and partitions ------------------------------------------------------------------------------------
CREATE TABLE public.parent (id integer NOT NULL, note text CHECK (note <> ''));
CREATE TABLE public.child (extra integer DEFAULT 5) INHERITS (public.parent);
CREATE TABLE public.grandchild () INHERITS (public.child);
ALTER TABLE public.child ALTER COLUMN note SET DEFAULT 'child';
INSERT INTO public.parent VALUES (1, 'p');
INSERT INTO public.child VALUES (2, 'c', 3);
INSERT INTO public.grandchild (id) VALUES (3);
CREATE TABLE public.sales (day date NOT NULL, region text NOT NULL, amount numeric, PRIMARY KEY (day, region))
  PARTITION BY RANGE (day);
CREATE TABLE public.sales_2025 PARTITION OF public.sales FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
  PARTITION BY LIST (region);
CREATE TABLE public."sales_2025 nord" PARTITION OF public.sales_2025 FOR VALUES IN ('nord', 'it''s');
CREATE TABLE public.sales_2025_rest PARTITION OF public.sales_2025 DEFAULT;
CREATE TABLE app.sales_old (region text NOT NULL, amount numeric, day date NOT NULL);
ALTER TABLE public.sales ATTACH PARTITION app.sales_old FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
INSERT INTO public.sales SELECT date '2024-12-01' + i, CASE i % 3 WHEN 0 THEN 'nord' ELSE 'süd' END, i FROM generate_series(1, 90) i;
CREATE TABLE public.hashed (k app.mood, v integer) PARTITION BY HASH (v);
CREATE TABLE public.hashed_0 PARTITION OF public.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.hashed_1 PARTITION OF public.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO public.hashed SELECT (enum_range(NULL::app.mood))[1 + i % 6], i FROM generate_series(1, 100) i;
CREATE TABLE public.hash_by_enum (k app.mood, v integer) PARTITION BY LIST (k);
CREATE TABLE public.hash_by_enum_rest PARTITION OF public.hash_by_enum DEFAULT;

-- Keys, constraints, indexes ------------------------------------------------------------------------------------
CREATE TABLE public.hen (id integer PRIMARY KEY, egg integer NOT NULL);
CREATE TABLE public.egg (id integer PRIMARY KEY, hen integer NOT NULL REFERENCES public.hen DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE public.hen ADD CONSTRAINT "hen's egg" FOREIGN KEY (egg) REFERENCES public.egg ON DELETE CASCADE
  DEFERRABLE INITIALLY DEFERRED;
DO $$BEGIN INSERT INTO public.hen VALUES (1, 1); INSERT INTO public.egg VALUES (1, 1); END$$;
SET CONSTRAINTS ALL IMMEDIATE;
CREATE TABLE public.tree (id integer PRIMARY KEY, up integer REFERENCES public.tree);
INSERT INTO public.tree VALUES (1, 2), (2, 1), (3, NULL);
ALTER TABLE public.tree ADD CONSTRAINT unchecked CHECK (id < 3) NOT VALID;
CREATE TABLE public.bookings (during tsrange, room circle, EXCLUDE USING gist (during WITH &&, room WITH &&) WHERE (room IS NOT NULL));
INSERT INTO public.bookings VALUES ('[2026-01-01,2026-01-02)', '<(0,0),1>'), ('[2026-01-02,2026-01-03)', '<(0,0),1>');
CREATE INDEX "odd index" ON app.edges (lower(t) text_pattern_ops DESC NULLS LAST) INCLUDE (small) WHERE small IS NOT NULL;
CREATE INDEX ON app.edges USING gin (jb jsonb_path_ops);
CREATE UNIQUE INDEX on_collated ON app.edges (t COLLATE app."Case C");
CREATE STATISTICS app."stat s" (ndistinct, mcv) ON small, big FROM app.edges;
ALTER TABLE public.hen CLUSTER ON hen_pkey;
ALTER TABLE public.egg REPLICA IDENTITY FULL;
ALTER TABLE public.parent SET (fillfactor = 70, autovacuum_enabled = false);
COMMENT ON CONSTRAINT "hen's egg" ON public.hen IS 'a ring';
COMMENT ON INDEX app."odd index" IS 'odd';

-- Sequences -----------------------------------------------------------------------------------------------------
CREATE SEQUENCE public.down INCREMENT -3 MAXVALUE 100 MINVALUE -100 START 50 CYCLE CACHE 5;
SELECT nextval('public.down'), nextval('public.down');
CREATE SEQUENCE public.untouched AS smallint;
CREATE SEQUENCE public."Set.To" OWNED BY public.big_values.id;
SELECT setval('public."Set.To"', 9223372036854775807, false);

-- Views, rules, triggers ----------------------------------------------------------------------------------------
CREATE VIEW public.v_edges WITH (security_barrier) AS SELECT id, t, pr FROM app.edges WHERE small IS NULL WITH LOCAL CHECK OPTION;
CREATE RECURSIVE VIEW public.counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 5;
CREATE MATERIALIZED VIEW public.mv_base AS SELECT region, sum(amount) AS amount FROM public.sales GROUP BY region;
CREATE MATERIALIZED VIEW public.a_mv_on_mv AS SELECT max(amount) AS most FROM public.mv_base;
CREATE UNIQUE INDEX ON public.mv_base (region);
CREATE MATERIALIZED VIEW public.mv_empty AS SELECT 1 AS one WITH NO DATA;
CREATE VIEW public.insertable AS SELECT x FROM public.empty;
CREATE RULE redirect AS ON INSERT TO public.insertable DO INSTEAD INSERT INTO public.empty VALUES (new.x);
CREATE RULE "no delete" AS ON DELETE TO public.empty DO INSTEAD NOTHING;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'a trigger fired: %', tg_name; END$$;
CREATE TRIGGER disabled BEFORE INSERT ON public.typed FOR EACH ROW EXECUTE FUNCTION app.touch('arg''s', '\x');
ALTER TABLE public.typed DISABLE TRIGGER disabled;
CREATE TRIGGER on_replica BEFORE INSERT ON public.typed FOR EACH ROW WHEN (new.a > 100) EXECUTE FUNCTION app.touch();
ALTER TABLE public.typed ENABLE REPLICA TRIGGER on_replica;
CREATE TRIGGER always BEFORE UPDATE OF b ON public.typed FOR EACH STATEMENT EXECUTE FUNCTION app.touch();
ALTER TABLE public.typed ENABLE ALWAYS TRIGGER always;
CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON public.typed DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.touch();

-- Row-level security and privileges -----------------------------------------------------------------------------
CREATE TABLE app.secrets (owner name DEFAULT current_user, secret text);
INSERT INTO app.secrets VALUES ('torture_reader', 'a'), ('torture_writer', 'b');
ALTER TABLE app.secrets OWNER TO "torture owner";
ALTER TABLE app.secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY "own rows" ON app.secrets FOR SELECT TO torture_reader USING (owner = current_user);
CREATE POLICY restrictive ON app.secrets AS RESTRICTIVE USING (true) WITH CHECK (secret <> '');
GRANT SELECT (t), UPDATE (t) ON app.edges TO torture_reader;
GRANT ALL ON public.parent TO PUBLIC;
GRANT SELECT ON public.child TO torture_writer WITH GRANT OPTION;
SET ROLE torture_writer;
GRANT SELECT ON public.child TO torture_reader;
RESET ROLE;
REVOKE ALL ON FUNCTION app.add(integer, integer, integer[]) FROM PUBLIC;

-- Large objects -------------------------------------------------------------------------------------------------
SELECT lo_from_bytea(4242, '\x00ff5c');
SELECT lo_from_bytea(4243, decode(repeat('deadbeef', 3000), 'hex'));
SELECT lo_create(4244);
SELECT lo_put(4245, 10000, '\x01') FROM (SELECT lo_create(4245)) made;
ALTER LARGE OBJECT 4243 OWNER TO "torture owner";
GRANT SELECT ON LARGE OBJECT 4242 TO torture_reader WITH GRANT OPTION;
COMMENT ON LARGE OBJECT 4242 IS 'it''s large';

-- Foreign data, publications, event triggers --------------------------------------------------------------------
-- An extension outside pg_catalog, as far as the server has one, and a wrapper: the extension's, or a bare one.
DO $$BEGIN
  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw') THEN
    CREATE EXTENSION postgres_fdw SCHEMA app;
  ELSE
    CREATE FOREIGN DATA WRAPPER postgres_fdw;
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
      CREATE EXTENSION vector SCHEMA app;
    END IF;
  END IF;
END$$;
CREATE SERVER "far away" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'no''where');
CREATE USER MAPPING FOR torture_reader SERVER "far away" OPTIONS (user 'x', password 'p''w\');
CREATE USER MAPPING FOR PUBLIC SERVER "far away";
CREATE FOREIGN TABLE public.foreign_rows (a integer OPTIONS (column_name 'A')) SERVER "far away" OPTIONS (table_name 't');
CREATE PUBLICATION "all of it" FOR ALL TABLES WITH (publish = 'insert, delete');
CREATE PUBLICATION partly FOR TABLE public.parent, public.hen;
DO $$BEGIN
  IF current_setting('server_version_num')::integer >= 150000 THEN
    EXECUTE 'CREATE PUBLICATION filtered FOR TABLE public.tree (id) WHERE (id > 1)';
    EXECUTE 'CREATE PUBLICATION by_schema FOR TABLES IN SCHEMA app';
    EXECUTE 'CREATE TABLE public.nulls (x integer UNIQUE NULLS NOT DISTINCT)';
    EXECUTE 'CREATE VIEW public.invoker WITH (security_invoker) AS SELECT 1 AS one';
  END IF;
  IF current_setting('server_version_num')::integer >= 140000 THEN
    EXECUTE 'CREATE FUNCTION app.atomic(x integer) RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT x + 1; END';
    EXECUTE 'CREATE TABLE public.squeezed (x text COMPRESSION pglz, m int4multirange)';
  END IF;
  IF current_setting('server_version_num')::integer >= 180000 THEN
    EXECUTE 'CREATE TABLE public.modern (a integer, twice integer GENERATED ALWAYS AS (a * 2) VIRTUAL, '
      'CONSTRAINT loose CHECK (a > 0) NOT ENFORCED)';
    EXECUTE 'INSERT INTO public.modern VALUES (-1), (2)';
  END IF;
END$$;
CREATE FUNCTION app.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;
CREATE EVENT TRIGGER torture_on ON ddl_command_end EXECUTE FUNCTION app.on_ddl();
CREATE EVENT TRIGGER torture_off ON ddl_command_start WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION app.on_ddl();
ALTER EVENT TRIGGER torture_off DISABLE;
CREATE EVENT TRIGGER torture_replica ON sql_drop EXECUTE FUNCTION app.on_ddl();
ALTER EVENT TRIGGER torture_replica ENABLE REPLICA;
CREATE EVENT TRIGGER torture_always ON table_rewrite EXECUTE FUNCTION app.on_ddl();
ALTER EVENT TRIGGER torture_always ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER torture_off IS 'off';
COMMENT ON PUBLICATION partly IS 'some tables';
COMMENT ON TABLE public.parent IS '';
COMMENT ON TABLE public.child IS 'children''s';

-- Owners, last, so that what depends on them is there ------------------------------------------------------------
ALTER TABLE app.edges OWNER TO "torture owner";
ALTER MATERIALIZED VIEW public.a_mv_on_mv OWNER TO "torture owner";
GRANT SELECT ON public.mv_base TO "torture owner";

-- Last, because a new value may be used only after a commit
ALTER TYPE app.mood ADD VALUE 'between' BEFORE 'ä';

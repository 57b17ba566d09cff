"""Fills a database as a small shop's would look after some years: the same rows for the same size, every time."""

from __future__ import annotations

import psycopg
from psycopg import sql

# Bytes on disk, indexes and large objects included, that one order brings with it: measured.
_BYTES_PER_ORDER = 1_500
_LARGE_OBJECT = 256 * 1024
_ORDERS_PER_LARGE_OBJECT = 10_000

_WORDS = (
    "the of and a to in is it you that was for on are with as his they be at one have this from by hot but some what"
    " there we can out other were all your when up use word how said an each she which do their time if will way about"
    " many then them would write like so these her long make thing see him two has look more day could go come did my"
    " sound no most number who over know water than call first people may down side been now find any new work part"
    " invoice delivery customer parcel refund discount broken missing yellow blue large small colour size street"
    " tomorrow yesterday please thanks regards order again never always box bicycle lamp kettle chair carpet"
)

# Every value comes from a hash of its row's number, so that nothing depends on a random seed or on time.
_FUNCTIONS = """
CREATE FUNCTION pick(i bigint, salt int, most int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS 'SELECT (hashint8extended(i, salt) & 2147483647)::int % most';
CREATE FUNCTION uid(i bigint, salt int) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS 'SELECT md5(salt || ''/'' || i)::uuid';
CREATE FUNCTION moment(i bigint, salt int) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $$SELECT '2022-01-01T00:00Z'::timestamptz + i * interval '37 s' + pick(i, salt, 900000) * interval '1 ms'$$;
"""
_POOL = """
CREATE UNLOGGED TABLE pool AS
  SELECT n, (SELECT string_agg((string_to_array(%s, ' '))[1 + pick(n * 64 + k, 1, 150)], ' ')
             FROM generate_series(1, 6 + pick(n, 2, 14)) k) AS text
  FROM generate_series(0, 19999) n
"""
_TABLES = (
    """CREATE TABLE customers AS
  SELECT uid(i, 1) AS id, 'customer' || i || '@example.com' AS email, initcap(split_part(p.text, ' ', 1)) AS name,
         jsonb_build_object('language', (ARRAY['en','de','fr','pl'])[1 + pick(i, 3, 4)], 'newsletter', pick(i, 4, 2) = 0,
                            'tags', jsonb_build_array(pick(i, 5, 50), pick(i, 6, 50)), 'about', p.text) AS profile,
         moment(i, 7) AS created_at
  FROM generate_series(1, {orders} / 5 + 1) i JOIN pool p ON p.n = pick(i, 8, 20000)""",
    """CREATE TABLE orders AS
  SELECT i AS id, uid(1 + pick(i, 9, {orders} / 5), 1) AS customer_id,
         (ARRAY['open','paid','sent','sent','sent','returned'])[1 + pick(i, 10, 6)] AS status,
         p.text AS note, (pick(i, 11, 100000) / 100.0)::numeric(12, 2) AS total,
         moment(i, 12) AS placed_at, moment(i, 13) + interval '2 d' AS updated_at
  FROM generate_series(1, {orders}) i JOIN pool p ON p.n = pick(i, 14, 20000)""",
    """CREATE TABLE order_lines AS
  SELECT o AS order_id, l AS line, pick(o * 8 + l, 15, 5000) AS product, 1 + pick(o * 8 + l, 16, 5) AS quantity,
         (pick(o * 8 + l, 17, 20000) / 100.0)::numeric(12, 2) AS price
  FROM generate_series(1, {orders}) o, generate_series(1, 3) l""",
    """CREATE TABLE events AS
  SELECT i AS id, 1 + pick(i, 18, {orders}) AS order_id, moment(i / 2, 19) AS at,
         jsonb_build_object('kind', (ARRAY['created','paid','packed','sent','seen'])[1 + pick(i, 20, 5)],
                            'request', uid(i, 21), 'ip', '10.' || pick(i, 22, 256) || '.' || pick(i, 23, 256) || '.1',
                            'agent', 'Mozilla/5.0 (X11; Linux x86_64) build/' || pick(i, 24, 400),
                            'message', p.text, 'took', pick(i, 25, 5000) / 10.0) AS payload
  FROM generate_series(1, {orders} * 2) i JOIN pool p ON p.n = pick(i, 26, 20000)""",
    """CREATE TABLE attachments AS
  SELECT uid(i, 27) AS id, i * 4 AS order_id, 'image/jpeg' AS kind,
         (SELECT string_agg(sha512((i * 64 + k)::text::bytea), ''::bytea ORDER BY k)
          FROM generate_series(1, 4 + pick(i, 28, 20)) k) AS body
  FROM generate_series(1, {orders} / 4) i""",
    """CREATE TABLE products AS
  SELECT i AS id, p.text AS title, (pick(i, 29, 20000) / 100.0)::numeric(12, 2) AS price
  FROM generate_series(0, 4999) i JOIN pool p ON p.n = pick(i, 30, 20000)""",
    "DROP TABLE pool",
    "ALTER TABLE customers ADD PRIMARY KEY (id), ADD UNIQUE (email)",
    "ALTER TABLE orders ADD PRIMARY KEY (id), ADD FOREIGN KEY (customer_id) REFERENCES customers",
    "ALTER TABLE products ADD PRIMARY KEY (id)",
    "CREATE INDEX ON orders (placed_at)",
    "CREATE INDEX ON orders (customer_id)",
    "ALTER TABLE order_lines ADD PRIMARY KEY (order_id, line), ADD FOREIGN KEY (order_id) REFERENCES orders",
    "ALTER TABLE events ADD PRIMARY KEY (id), ADD FOREIGN KEY (order_id) REFERENCES orders",
    "CREATE INDEX ON events (order_id, at)",
    "ALTER TABLE attachments ADD PRIMARY KEY (id), ADD FOREIGN KEY (order_id) REFERENCES orders",
    """SELECT lo_from_bytea(0, (SELECT string_agg(sha512((i * 65536 + k)::text::bytea), ''::bytea ORDER BY k)
                             FROM generate_series(1, {lo_pieces}) k))
  FROM generate_series(1, {orders} / {per_lo} + 1) i""",
    "ANALYZE",
)


def fill(dsn: str, size: int) -> int:
    """Fill an empty database with about `size` bytes on disk; give how many it takes in truth."""
    numbers = {
        "orders": sql.Literal(max(size // _BYTES_PER_ORDER, 10)),
        "lo_pieces": sql.Literal(_LARGE_OBJECT // 64),
        "per_lo": sql.Literal(_ORDERS_PER_LARGE_OBJECT),
    }
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_FUNCTIONS)
        connection.execute(_POOL.replace("%s", "'" + _WORDS + "'"))
        for statement in _TABLES:
            connection.execute(sql.SQL(statement).format(**numbers))
        # Hint bits and a settled table: the first dump must not pay for what later ones find done.
        connection.execute("VACUUM")
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(row[0]) if row else 0

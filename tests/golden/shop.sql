-- What the golden backup holds: one of most things, small, and the same on every server and locale.
CREATE TYPE state AS ENUM ('cart', 'paid', 'sent');

CREATE TABLE products (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    price numeric(10, 2) NOT NULL CHECK (price >= 0),
    tags text[] NOT NULL DEFAULT '{}',
    about jsonb,
    picture bytea
);
INSERT INTO products (name, price, tags, about, picture) VALUES
    ('Kettle', 39.90, '{kitchen,steel}', '{"litres": 1.7, "colours": ["red", "blue"]}', '\x89504e470d0a1a0a00ff'),
    (E'Größe "XL"\ttab', 0.00, '{}', NULL, NULL),
    (E'two\nlines, a \\backslash and \\.', 12345678.99, '{"a,b","c\"d"}', '{"nested": {"null": null}}', '\x'),
    ('日本語 🫖', 1.50, '{x}', '[]', '\x00');

CREATE TABLE orders (
    id bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    state state NOT NULL,
    product integer NOT NULL REFERENCES products (id),
    weight double precision,
    PRIMARY KEY (id, placed_at)
) PARTITION BY RANGE (placed_at);
CREATE TABLE orders_2025 PARTITION OF orders FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2026-01-01 00:00+00');
CREATE TABLE orders_2026 PARTITION OF orders FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');
INSERT INTO orders
SELECT
    g,
    timestamptz '2025-12-25 00:00+00' + g * interval '4 hours',
    (enum_range(NULL::state))[g % 3 + 1],
    g % 4 + 1,
    CASE WHEN g % 7 = 0 THEN NULL WHEN g % 11 = 0 THEN 'NaN' ELSE g / 3.0 END
FROM generate_series(1, 100) AS g;

CREATE SEQUENCE invoices START 1000;
SELECT nextval('invoices'), nextval('invoices');

CREATE FUNCTION revenue(wanted state) RETURNS numeric LANGUAGE sql STABLE
AS $$ SELECT sum(p.price) FROM orders o JOIN products p ON p.id = o.product WHERE o.state = wanted $$;
CREATE VIEW paid AS SELECT id, product FROM orders WHERE state = 'paid';
CREATE MATERIALIZED VIEW by_state AS SELECT state, count(*) AS orders FROM orders GROUP BY state;
CREATE INDEX ON orders (product) WHERE state = 'cart';
COMMENT ON TABLE products IS 'what we sell';

SELECT lo_from_bytea(4242, decode(repeat('00ff10', 1000), 'hex'));

GRANT SELECT ON products, paid TO golden_reader;
ALTER TABLE products OWNER TO golden_owner;

-- A legacy database with most of what a PostgreSQL table can have. The tests of `strangler plan new` move some of it.
CREATE SCHEMA shop;
CREATE SCHEMA "Odd Schema";
CREATE SCHEMA extensions;
CREATE EXTENSION citext WITH SCHEMA extensions;
CREATE EXTENSION hstore;
CREATE EXTENSION btree_gist;
CREATE EXTENSION pg_trgm WITH SCHEMA extensions;
CREATE EXTENSION cube WITH SCHEMA extensions;
CREATE EXTENSION earthdistance WITH SCHEMA extensions;

CREATE COLLATION shop.german (provider = libc, locale = 'C.UTF-8');
CREATE COLLATION "Odd Schema"."any Case" (provider = libc, lc_collate = 'C', lc_ctype = 'C.UTF-8');

CREATE TYPE shop.mood AS ENUM ('it''s fine', 'so so', 'a:b', 'back\slash');
COMMENT ON TYPE shop.mood IS 'How a customer feels';
CREATE TYPE "Odd Schema"."Kind of ""Thing""" AS ENUM ('one', 'Two');
CREATE DOMAIN shop.email AS extensions.citext CHECK (VALUE ~ '^[^@]+@[^@]+$') NOT NULL;
CREATE DOMAIN shop.percent AS numeric(5, 2) DEFAULT 0 CONSTRAINT in_range CHECK (VALUE BETWEEN 0 AND 100);
COMMENT ON DOMAIN shop.percent IS '0 to 100';
CREATE DOMAIN shop.discount AS shop.percent CHECK (VALUE <= 50);
CREATE TYPE shop.dimensions AS (width numeric(8, 2), height numeric(8, 2), note text COLLATE "C", mood shop.mood);
CREATE TYPE shop.minutes AS RANGE (subtype = time, multirange_type_name = "Minutes Many");
CREATE FUNCTION shop.doubled(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT n * 2 $$;
CREATE FUNCTION shop.quadrupled(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT shop.doubled(shop.doubled(n)) $$;
CREATE FUNCTION shop.shout(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN RETURN upper(t) || '!'; END $f$;
CREATE FUNCTION shop.even(n integer) RETURNS boolean IMMUTABLE BEGIN ATOMIC SELECT n % 2 = 0; END;
CREATE DOMAIN shop.even_number AS integer CHECK (shop.even(VALUE));

CREATE SEQUENCE shop.numbers START WITH 1000 INCREMENT BY 5 CACHE 7;
CREATE SEQUENCE shop.down AS smallint INCREMENT BY -1 MAXVALUE 500 MINVALUE -500 START WITH 400;

-- Stays in the monolith.
CREATE TABLE shop.region (code varchar(8) PRIMARY KEY, next_number bigint DEFAULT nextval('shop.numbers'));
CREATE TABLE public.counters (name text PRIMARY KEY, value int);
CREATE FUNCTION shop.counted() RETURNS int LANGUAGE sql AS
  $$ UPDATE public.counters SET value = value + 1 WHERE name = 'x' RETURNING value $$;

CREATE TABLE shop.customer (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 10 MAXVALUE 99999 CACHE 3),
    email shop.email,
    name varchar(120) COLLATE shop.german NOT NULL,
    nick text COLLATE "Odd Schema"."any Case",
    mood shop.mood DEFAULT 'it''s fine',
    moods shop.mood[] DEFAULT '{}',
    size shop.dimensions,
    sizes shop.dimensions[],
    open shop.minutes,
    open_all "Minutes Many",
    share shop.discount,
    even shop.even_number DEFAULT 2,
    place extensions.earth,
    props hstore DEFAULT 'a=>"b:c"'::hstore,
    region_code varchar(8) REFERENCES shop.region ON DELETE SET NULL,
    referred_by bigint,
    number bigint DEFAULT nextval('shop.numbers'),
    counted int DEFAULT shop.counted() NOT NULL,
    four int DEFAULT shop.quadrupled(1),
    loud text GENERATED ALWAYS AS (shop.shout(name)) STORED,
    named text GENERATED ALWAYS AS (name || ' <' || (email)::text || '>') STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT customer_pkey PRIMARY KEY (id),
    CONSTRAINT customer_email_key UNIQUE (email) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT customer_nick_key UNIQUE NULLS NOT DISTINCT (nick),
    CONSTRAINT "Named: 100%" CHECK (name <> '' AND name NOT LIKE '%\%%'),
    CONSTRAINT customer_referred_by_fkey FOREIGN KEY (referred_by) REFERENCES shop.customer (id) ON DELETE CASCADE
) WITH (fillfactor = 70);
COMMENT ON TABLE shop.customer IS E'Who buys; it''s "them"\nand \\ others';
COMMENT ON COLUMN shop.customer.nick IS 'a : b';
COMMENT ON CONSTRAINT customer_pkey ON shop.customer IS 'the key';
ALTER TABLE shop.customer ALTER COLUMN nick SET STORAGE EXTERNAL;
ALTER TABLE shop.customer ADD CONSTRAINT customer_number_check CHECK (number > 0) NOT VALID;
ALTER TABLE shop.customer ADD COLUMN late int NOT NULL DEFAULT 7;
CREATE INDEX customer_lower_idx ON shop.customer (lower(name) text_pattern_ops DESC NULLS LAST) INCLUDE (nick) WHERE (mood <> 'so so');
CREATE INDEX customer_props_idx ON shop.customer USING gin (props);
CREATE INDEX customer_trgm_idx ON shop.customer USING gin (name extensions.gin_trgm_ops);
CREATE INDEX customer_even_idx ON shop.customer (shop.quadrupled(four)) WITH (fillfactor = 50);
CREATE UNIQUE INDEX customer_code_idx ON shop.customer (number, region_code);
COMMENT ON INDEX shop.customer_lower_idx IS 'for search';
CREATE STATISTICS shop.customer_stats (dependencies) ON region_code, mood FROM shop.customer;

-- Odd and reserved names, two tables that point to each other, an exclusion constraint.
CREATE TABLE "Odd Schema"."order" (
    "select" serial PRIMARY KEY,
    "Größe in ""cm""" smallserial,
    "a:b" text DEFAULT 'x:y %s %%',
    kind "Odd Schema"."Kind of ""Thing""",
    customer_id bigint NOT NULL REFERENCES shop.customer,
    latest_line bigint,
    room int,
    during tstzrange,
    small smallint DEFAULT nextval('shop.down'),
    CONSTRAINT "no overlap" EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (room > 0)
);
CREATE TABLE "Odd Schema"."line;--" (
    id bigint PRIMARY KEY,
    "order" int NOT NULL REFERENCES "Odd Schema"."order" ON DELETE CASCADE DEFERRABLE,
    UNIQUE ("order", id)
);
ALTER TABLE "Odd Schema"."order" ADD CONSTRAINT "latest fkey"
    FOREIGN KEY ("select", latest_line) REFERENCES "Odd Schema"."line;--" ("order", id) DEFERRABLE;

CREATE TABLE shop.event (
    id bigint GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME shop."Event Numbers"),
    at timestamptz NOT NULL,
    kind int NOT NULL,
    customer_id bigint REFERENCES shop.customer,
    payload jsonb,
    PRIMARY KEY (id, at, kind)
) PARTITION BY RANGE (at);
CREATE TABLE shop.event_2024 PARTITION OF shop.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE shop.event_2025 PARTITION OF shop.event (CONSTRAINT only_customers CHECK (customer_id IS NOT NULL))
    FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (kind);
CREATE TABLE shop.event_2025_a PARTITION OF shop.event_2025 FOR VALUES IN (1, 2);
CREATE TABLE shop.event_2025_rest PARTITION OF shop.event_2025 DEFAULT;
CREATE TABLE shop.event_rest PARTITION OF shop.event DEFAULT;
ALTER TABLE shop.event_rest ALTER COLUMN payload SET DEFAULT '{}';
CREATE INDEX event_customer_idx ON shop.event (customer_id);
CREATE INDEX event_rest_idx ON shop.event_rest USING gin (payload);

-- Another order of columns, another default, and rules of its own.
CREATE TABLE shop.visit (id int NOT NULL, page text DEFAULT '/', at date, twice int GENERATED ALWAYS AS (id * 2) STORED,
                         PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE shop.visit_0 (at date NOT NULL, twice int GENERATED ALWAYS AS (id * 2) STORED, id int NOT NULL, page text UNIQUE);
ALTER TABLE shop.visit ATTACH PARTITION shop.visit_0 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.visit_1 PARTITION OF shop.visit FOR VALUES WITH (MODULUS 2, REMAINDER 1);

CREATE SCHEMA """a";
CREATE TABLE """a"."it""s %" (id int PRIMARY KEY, "$$" text DEFAULT ':x \');
CREATE INDEX "ON ONLY " ON """a"."it""s %" (lower("$$")) WHERE "$$" <> '"""';

-- What is a partition's own, what the planner is told, and comments on what is no table.
ALTER TABLE shop.event_2024 SET (fillfactor = 60, autovacuum_enabled = off);
ALTER TABLE ONLY shop.event_2024 ALTER COLUMN payload SET STORAGE EXTERNAL;
COMMENT ON TABLE shop.event_2024 IS 'of a year';
COMMENT ON COLUMN shop.event_2024.kind IS 'here only';
COMMENT ON INDEX shop.event_rest_idx IS 'of the rest';
COMMENT ON CONSTRAINT only_customers ON shop.event_2025 IS 'no strangers';
ALTER TABLE shop.customer SET (toast.autovacuum_enabled = off);
ALTER TABLE shop.customer CLUSTER ON customer_pkey;
ALTER TABLE shop.customer ALTER COLUMN nick SET STATISTICS 500;
ALTER TABLE shop.customer ALTER COLUMN mood SET (n_distinct = 4, n_distinct_inherited = -0.5);
ALTER INDEX shop.customer_even_idx ALTER COLUMN 1 SET STATISTICS 300;
ALTER STATISTICS shop.customer_stats SET STATISTICS 77;
COMMENT ON STATISTICS shop.customer_stats IS 'they go together';
COMMENT ON SEQUENCE shop.numbers IS 'in fives';
COMMENT ON SEQUENCE shop."Event Numbers" IS 'of an identity';
COMMENT ON COLUMN shop.dimensions.note IS 'a part''s';
COMMENT ON CONSTRAINT in_range ON DOMAIN shop.percent IS 'of a check';
COMMENT ON FUNCTION shop.doubled(integer) IS 'twice';

CREATE TABLE shop.log (at timestamptz DEFAULT clock_timestamp(), what text);

-- What does not go along.
CREATE TABLE shop.invoice (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES shop.customer ON DELETE CASCADE);
CREATE VIEW shop.customers_by_region AS SELECT region_code, count(*) FROM shop.customer GROUP BY 1;
CREATE VIEW shop.plain_customers AS SELECT id, name FROM shop.customer;
CREATE FUNCTION shop.touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.created_at := now(); RETURN NEW; END $$;
CREATE TRIGGER customer_touched BEFORE UPDATE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.touched();
CREATE FUNCTION shop.customer_count() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM shop.customer $$;
CREATE FUNCTION shop.wipe() RETURNS void LANGUAGE sql AS $$ DELETE FROM shop.customer $$;
CREATE RULE log_never AS ON DELETE TO shop.log DO INSTEAD NOTHING;
ALTER TABLE shop.log ENABLE ROW LEVEL SECURITY;
CREATE POLICY log_all ON shop.log USING (true);

create type mood as enum ('sad','ok','happy');
create domain posint as int check (value > 0);
create domain posint2 as posint;
create domain email as varchar(50);
create domain money2 as numeric(12,2);
create type pair as (a int, b text);
create type fr as range (subtype = float8);
create extension hstore;
create extension citext;
create extension ltree;
create table small(id int primary key, name varchar(40));
create table comp(b int, a int, v text, primary key (a,b));
create table nokey(v text); alter table nokey replica identity full;
create table rf(id int primary key, v text, t text); alter table rf replica identity full;
create table big(id int primary key, v int, t text, b bytea, a text[], i int[], j jsonb, n numeric[], h hstore, ts timestamptz[], nn text not null default 'x');
alter table big alter t set storage external; alter table big alter b set storage external; alter table big alter a set storage external; alter table big alter i set storage external; alter table big alter j set storage external; alter table big alter n set storage external; alter table big alter h set storage external;alter table big alter ts set storage external;alter table big alter nn set storage external;
create table defs(id serial primary key, a int not null default 7, b text default 'x''y', c numeric(10,2) default 1.5, d timestamptz default now(), e date default '2020-01-01', f bool default true, g mood default 'ok', h text not null, i int generated always as (a*2) stored, j bigint generated always as identity, k timestamp default '2020-01-01 10:00:00', l float8 default 1.5, m uuid default gen_random_uuid(), n json default '{}', o bytea default '\x01', p int[] default '{1}', q interval default '1 day', r time default '10:00', s char(3) default 'ab', u bit(3) default B'101', v money default 3.5, w smallint default 3);
create table types(
 id int primary key,
 c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_oid oid, c_float4 float4, c_float8 float8,
 c_num numeric, c_num102 numeric(10,2), c_num5 numeric(5), c_num_neg numeric(5,-2), c_money money,
 c_text text, c_varchar varchar(10), c_varchar0 varchar, c_char char(5), c_bpchar bpchar, c_name name, c_char1 "char",
 c_bytea bytea, c_bit1 bit(1), c_bit bit(12), c_varbit varbit(20), c_varbit0 varbit,
 c_date date, c_time time, c_time0 time(0), c_time3 time(3), c_timetz timetz, c_ts timestamp, c_ts0 timestamp(0), c_ts3 timestamp(3), c_ts4 timestamp(4), c_tstz timestamptz, c_tstz3 timestamptz(3), c_interval interval, c_interval_ym interval year to month,
 c_json json, c_jsonb jsonb, c_uuid uuid, c_xml xml, c_inet inet, c_cidr cidr, c_mac macaddr, c_mac8 macaddr8,
 c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle,
 c_tsv tsvector, c_tsq tsquery, c_lsn pg_lsn, c_snap pg_snapshot, c_txsnap txid_snapshot, c_jsonpath jsonpath, c_regclass regclass, c_xid xid, c_xid8 xid8, c_cid cid, c_tid tid,
 c_i4r int4range, c_i8r int8range, c_nr numrange, c_tsr tsrange, c_tstzr tstzrange, c_dr daterange, c_i4mr int4multirange, c_fr fr,
 c_mood mood, c_posint posint, c_posint2 posint2, c_email email, c_money2 money2, c_pair pair,
 c_hstore hstore, c_citext citext, c_ltree ltree,
 a_bool bool[], a_int2 int2[], a_int4 int4[], a_int8 int8[], a_oid oid[], a_float4 float4[], a_float8 float8[], a_num numeric[], a_num102 numeric(10,2)[], a_text text[], a_varchar varchar(10)[], a_char char(5)[], a_name name[], a_bytea bytea[], a_bit bit(3)[], a_varbit varbit[],
 a_date date[], a_time time[], a_timetz timetz[], a_ts timestamp[], a_ts3 timestamp(3)[], a_tstz timestamptz[], a_interval interval[], a_json json[], a_jsonb jsonb[], a_uuid uuid[], a_xml xml[], a_inet inet[], a_cidr cidr[], a_mac macaddr[], a_point point[], a_money money[], a_i4r int4range[], a_tsr tsrange[], a_dr daterange[], a_mood mood[], a_posint posint[], a_pair pair[], a_hstore hstore[], a_citext citext[], a_ltree ltree[], a_tsv tsvector[]
);

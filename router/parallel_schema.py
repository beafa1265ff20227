"""The tables of the parallel run's record (SQLite)."""

SCHEMA_VERSION = 1

TABLES = """
CREATE TABLE IF NOT EXISTS tally (
    move TEXT NOT NULL, minute INTEGER NOT NULL, endpoint TEXT NOT NULL, name TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (move, minute, endpoint, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS latency (
    move TEXT NOT NULL, minute INTEGER NOT NULL, series TEXT NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (move, minute, series, bucket)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS difference (
    move TEXT NOT NULL, minute INTEGER NOT NULL, endpoint TEXT NOT NULL, path TEXT NOT NULL, class TEXT NOT NULL,
    classification TEXT NOT NULL, n INTEGER NOT NULL, siblings INTEGER NOT NULL,
    first_seen TEXT NOT NULL, last_seen TEXT NOT NULL,
    PRIMARY KEY (move, minute, endpoint, path, class, classification)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sample_seen (
    move TEXT NOT NULL, endpoint TEXT NOT NULL, path TEXT NOT NULL, class TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (move, endpoint, path, class)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sample (
    move TEXT NOT NULL, endpoint TEXT NOT NULL, path TEXT NOT NULL, class TEXT NOT NULL,
    keep TEXT NOT NULL, slot INTEGER NOT NULL, seen_as INTEGER NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (move, endpoint, path, class, keep, slot)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mask (
    id TEXT NOT NULL PRIMARY KEY, declared INTEGER NOT NULL,
    reached INTEGER NOT NULL, excused INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS paired (
    move TEXT NOT NULL, endpoint TEXT NOT NULL, path TEXT NOT NULL, class TEXT NOT NULL,
    candidate_only INTEGER NOT NULL, control_only INTEGER NOT NULL,
    PRIMARY KEY (move, endpoint, path, class)) WITHOUT ROWID;
"""

MOVE_TABLES = ("tally", "latency", "difference", "sample_seen", "sample", "paired")

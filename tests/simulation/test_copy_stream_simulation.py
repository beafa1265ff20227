"""Copy and stream against a simulated source and target: any interleaving, crashes anywhere, one seed a run.

The source shows what PostgreSQL shows: a transaction is in the log first and visible later, and holds its row locks in
between. Held to: no lost row, no stale overwrite, the ledger never goes back, equal when idle.
"""

import random

import pytest

from cdc.apply_batch import plan
from cdc.batch_mapping import BatchMapper, BatchWork, BulkRows
from cdc.chunk_handover import ChunkHandover, CopyInterrupted
from cdc.copied_rows import CopiedRows, parse_line
from cdc.copy_tracker import WATERMARK_PREFIX, CopyCursor, CopyTracker, TableCopying, Watermark
from cdc.events import UNCHANGED, Column, Message, Relation, RowChange, TableName, TargetChange, Transaction, Truncate
from cdc.link import LinkSpec
from cdc.mapping.port import BulkColumns
from cdc.snapshot_window import Chunk, SourceSnapshot
from tests.stream_pair import identical

T = TableName(name="t")
RELATION = Relation(
    oid=1,
    schema="public",
    name="t",
    columns=tuple(Column(name=name, type_oid=25, in_key=name == "id") for name in ("id", "n", "big")),
)
KEYS = [f"{number:02}" for number in range(30)]


class IdentityMapper:
    source_tables = target_tables = (T,)
    mapping = identical(("t", "id n big"))

    def map(self, change):
        if isinstance(change, Truncate):
            return [TargetChange(kind="truncate", table=T, key={}, values={})]
        new, old = change.new, change.old or change.new
        if change.op == "d":
            return [TargetChange(kind="delete", table=T, key={"id": old[0]}, values={})]
        values = {name: value for name, value in zip(("id", "n", "big"), new, strict=True) if value is not UNCHANGED}
        if change.op != "u":
            return [TargetChange(kind="upsert", table=T, key={"id": new[0]}, values=values)]
        old_key = {"id": old[0]} if old[0] != new[0] else None
        return [TargetChange(kind="update", table=T, key={"id": new[0]}, values=values, old_key=old_key)]

    def bulk(self, relation):
        return [BulkColumns(table=T, columns=("id", "n", "big"), positions=(0, 1, 2))]

    def map_transaction(self, changes):
        return [each for change in changes for each in self.map(change)]


class Source:
    def __init__(self, chance):
        self.chance, self.log, self.xid, self.lsn = chance, [], 100, 1000
        self.rows, self.visible = {}, {}
        self.unseen = []

    def commit(self, changes, rows, keys):
        self.xid, self.lsn = self.xid + 1, self.lsn + 10
        self.log.append(
            Transaction(xid=self.xid, commit_lsn=self.lsn, end_lsn=self.lsn + 1, commit_time_us=0, changes=changes)
        )
        self.rows = rows
        self.unseen.append((self.xid, keys, rows))

    def show(self):
        """The oldest hidden transaction becomes visible; those hidden behind it touched other rows."""
        if self.unseen:
            index = self.chance.randrange(len(self.unseen))
            _, keys, rows = self.unseen.pop(index)
            for key in keys:
                self.visible.pop(key, None)
                if key in rows:
                    self.visible[key] = rows[key]

    def show_all(self):
        while self.unseen:
            self.show()

    def message(self, mark):
        content = mark.content().encode()
        self.commit(
            (Message(prefix=WATERMARK_PREFIX, content=content, transactional=True, lsn=self.lsn),), self.rows, ()
        )
        # A session sees its own commit.
        self.unseen.pop()

    def snapshot(self):
        hidden = frozenset(xid for xid, _, _ in self.unseen)
        return SourceSnapshot(xmin=min(hidden, default=self.xid + 1), xmax=self.xid + 1, in_progress=hidden)

    def write(self):
        locked = {key for _, keys, _ in self.unseen for key in keys}
        rows, changes, keys = dict(self.rows), [], set()
        for _ in range(self.chance.randint(1, 3)):
            free = [key for key in KEYS if key not in locked]
            if not free:
                break
            key, other = self.chance.choice(free), self.chance.choice(free)
            change = self._change(rows, key, other)
            if change:
                changes.append(change)
                keys |= {key, other}
        if changes:
            self.commit(tuple(changes), rows, tuple(keys))

    def _change(self, rows, key, other):
        n = str(self.chance.randrange(10**6))
        if key not in rows:
            rows[key] = (key, n, "big" + n)
            return RowChange(relation=RELATION, op="c", new=rows[key])
        action = self.chance.choice(["update", "toast", "delete", "move", "move with toast"])
        if action == "delete":
            del rows[key]
            return RowChange(relation=RELATION, op="d", new=None, old=(key, None, None), old_is_key=True)
        new_key, old = key, None
        if action.startswith("move"):
            if other in rows:
                return None
            new_key, old = other, (key, None, None)
        before = rows.pop(key)
        keeps = "toast" in action
        rows[new_key] = (new_key, n, before[2] if keeps else "big" + n)
        sent = (new_key, n, UNCHANGED if keeps else rows[new_key][2])
        return RowChange(relation=RELATION, op="u", new=sent, old=old, old_is_key=old is not None)

    def truncate(self):
        """Takes the table's lock: waits for everybody."""
        self.show_all()
        self.commit((Truncate(relations=(RELATION,)),), {}, tuple(KEYS))
        self.show_all()


class Target:
    """What is durable, and the applier's memory, which a crash takes."""

    def __init__(self, source, chance, tmp_path):
        self.source, self.chance = source, chance
        self.rows, self.position, self.copies, self.copied = {}, 0, {}, 0
        self.handover = ChunkHandover(in_flight=1000)
        self.link = LinkSpec(
            move="m", direction="forward", source_dsn="", target_dsn="", log_folder=tmp_path, mapper=IdentityMapper(),
            source_keys={T: ("id",)},
        )  # fmt: skip
        self.restart()

    def restart(self):
        self.handover.interrupt()
        self.mapper = BatchMapper(self.link, self.handover)
        self.tracker = CopyTracker(source_keys={T: ("id",)}, follows_copy=True, tables=dict(self.copies))
        for transaction in self.source.log:
            if transaction.commit_lsn <= self.position:
                self.tracker.recent.add(transaction.xid)

    def step(self):
        ready = [each for each in self.source.log if each.commit_lsn > self.position]
        batch = ready[: self.chance.randint(1, 6)]
        if not batch:
            return
        tracker = self.tracker.clone()
        work = BatchWork()
        rows = dict(self.rows)
        takes_runs = self.chance.choice([None, lambda _: True, lambda _: True])
        for piece in self.mapper.changes(batch, tracker, work, takes_runs=takes_runs):
            assert not (work.take_must_be_empty() and rows), "a copy began on a table that was not empty"
            if isinstance(piece, BulkRows):
                self.copied += copy_in(rows, piece)
            else:
                for group in plan(piece, lambda _: self.chance.choice(["any", "in_order"])):
                    execute(rows, group)
        if self.chance.random() < 0.05:
            self.restart()
            return
        assert batch[-1].commit_lsn > self.position
        self.rows, self.position = rows, batch[-1].commit_lsn
        self.copies = {
            **self.copies, **{table: tracker.tables[table] for table in tracker.touched | work.copied_rows.keys()}
        }  # fmt: skip
        if self.chance.random() < 0.05:
            self.restart()
            return
        self.tracker = tracker
        for mark in work.settled:
            self.handover.settle(mark.run, mark.number)
        if work.rejected:
            self.handover.interrupt()

    @property
    def copying(self):
        return self.copies.get(T, TableCopying())


def execute(rows, group):
    width = len(group.key)
    if group.kind == "truncate":
        rows.clear()
    for row in group.rows:
        if group.kind == "upsert":
            rows[row[0]] = dict(zip(group.columns, row, strict=True))
        elif row[0] not in rows:
            assert not group.must_match, f"{group.kind} of {row} met no row"
        elif group.kind == "delete":
            del rows[row[0]]
        else:
            changed = {**rows.pop(row[0]), **dict(zip(group.columns, row[width:], strict=True))}
            rows[changed["id"]] = changed


def copy_in(rows, piece):
    """A plain COPY: a row that is there already would be an error."""
    (columns,) = piece.targets
    lines = [line + b"\n" for line in piece.run.copy_text(columns.positions).text.split(b"\n")[:-1]]
    for row in map(parse_line, lines):
        assert row[0] not in rows, f"{row} is there already"
        rows[row[0]] = dict(zip(columns.columns, row, strict=True))
    return len(lines)


def copier(source, target, limit):
    """The copier's steps, one a `next`; starts over from what is durable when its run ends."""
    run_number = 0
    while target.copying.state != "done":
        run_number += 1
        run, number, cursor = f"run-{run_number}", 0, target.copying.cursor
        target.handover.start(run)
        target.handover.announce(RELATION)
        try:
            while not cursor.finished:
                number += 1
                source.message(Watermark(run=run, number=number, mark="low", table=T))
                yield
                chunk = read(source, cursor, limit)
                yield
                target.handover.put(run, number, chunk)
                source.message(Watermark(run=run, number=number, mark="high", table=T))
                yield
                if not cursor.range_done:
                    cursor = CopyCursor(after=chunk.after, until=chunk.until, range_done=chunk.last)
                if cursor.range_done:
                    while target.handover.take(run, number) is not None:
                        yield
                    if target.handover.relation(run, T) is None:
                        raise CopyInterrupted
                    cursor = target.copying.cursor
        except CopyInterrupted:
            yield


def read(source, cursor, limit):
    visible, snapshot = dict(source.visible), source.snapshot()
    if cursor.range_done:
        rows = tuple(visible[key] for (key,) in cursor.again if key in visible)
        return Chunk(relation=RELATION, key_columns=("id",), rows=rows, snapshot=snapshot, again=cursor.again)
    until = cursor.until or ((max(visible),) if visible else None)
    after = cursor.after[0] if cursor.after else ""
    keys = sorted(key for key in visible if until and after < key <= until[0])[:limit]
    last_key = (keys[-1],) if keys else cursor.after
    printed = ["\t".join(visible[key]).encode() + b"\n" for key in keys]
    return Chunk(
        relation=RELATION, key_columns=("id",), rows=CopiedRows(printed), snapshot=snapshot,
        begin=cursor.after, after=last_key, until=until, last=len(keys) < limit or last_key == until,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(300))
def test_copy_and_stream_converge(seed, tmp_path):
    chance = random.Random(seed)
    source = Source(chance)
    for _ in range(chance.randrange(20)):
        source.write()
        source.show_all()
    target = Target(source, chance, tmp_path)
    steps = copier(source, target, limit=chance.randint(1, 6))
    for _ in range(chance.randint(50, 400)):
        action = chance.choices(["write", "show", "copy", "apply", "truncate"], [4, 4, 3, 4, 0.02])[0]
        if action == "copy":
            next(steps, None)
        else:
            {"write": source.write, "show": source.show, "apply": target.step, "truncate": source.truncate}[action]()
    source.show_all()
    for _ in range(20_000):
        if next(steps, "over") == "over" and target.position == source.log[-1].commit_lsn:
            break
        target.step()
    assert target.copying.state == "done"
    assert {key: (row["id"], row["n"], row["big"]) for key, row in target.rows.items()} == source.rows


def test_most_chunks_of_a_quiet_table_are_copied_as_they_are(tmp_path):
    """The simulation above is about runs only if there are any."""
    chance = random.Random(1)
    source = Source(chance)
    for _ in range(40):
        source.write()
        source.show_all()
    target = Target(source, chance, tmp_path)
    for _ in copier(source, target, limit=5):
        target.step()
    assert target.rows.keys() == source.rows.keys()
    assert target.copied > 0

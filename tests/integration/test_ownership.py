import threading

import psycopg
import pytest

from migration_plans.errors import FenceTimeout, OwnershipAmbiguous, OwnershipMoved
from migration_plans.ownership import Ownership, OwnershipLedger, OwnershipPair
from strangler.errors import Unreachable

TABLES = ("item", "item_part")


@pytest.fixture
def dsn(new_database):
    url = new_database("ownership")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE item (id int PRIMARY KEY, n int)")
        connection.execute("CREATE TABLE item_part (id int, day int) PARTITION BY RANGE (day)")
        connection.execute("CREATE TABLE item_part_1 PARTITION OF item_part FOR VALUES FROM (0) TO (100)")
        connection.execute("INSERT INTO item VALUES (1, 0)")
    return url


@pytest.fixture
def ledger(dsn):
    ledger = OwnershipLedger(side="legacy", dsn=dsn, move="catalog", tables=TABLES)
    ledger.install(owner="legacy")
    yield ledger
    ledger.close()


def refused(dsn, statement):
    with psycopg.connect(dsn) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.ReadOnlySqlTransaction:
            return True
    return False


WRITES = (
    "INSERT INTO item VALUES (7, 7) ON CONFLICT DO NOTHING",
    "UPDATE item SET n = n + 1",
    "DELETE FROM item WHERE id = 7",
    "TRUNCATE item",
    "INSERT INTO item_part VALUES (1, 5)",
    "INSERT INTO item_part_1 VALUES (1, 5)",
    "COPY item FROM PROGRAM 'true'",
)


@pytest.mark.parametrize("statement", WRITES)
def test_C4_the_database_itself_refuses_every_kind_of_write_behind_the_fence(dsn, ledger, statement):
    assert not refused(dsn, statement)
    ledger.raise_fence(epoch=1, lock_timeout_s=1)
    assert refused(dsn, statement)
    ledger.lower_fence(epoch=1)
    assert not refused(dsn, statement)


def test_the_side_that_does_not_own_starts_behind_its_fence_and_appliers_pass(dsn):
    ledger = OwnershipLedger(side="service", dsn=dsn, move="catalog", tables=TABLES)
    ledger.install(owner="legacy")
    assert ledger.read() == Ownership(owner="legacy", epoch=1, fenced=True)
    assert refused(dsn, WRITES[0])
    with psycopg.connect(dsn) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(WRITES[0])
    ledger.close()


def test_install_twice_keeps_the_row(dsn, ledger):
    ledger.raise_fence(epoch=1, lock_timeout_s=1)
    ledger.install(owner="legacy")
    assert ledger.read() == Ownership(owner="legacy", epoch=1, fenced=True)
    assert refused(dsn, WRITES[0])


def test_C2_a_repeatable_read_transaction_that_began_before_the_fence_cannot_slip_under_it(dsn, ledger):
    with psycopg.connect(dsn) as early:
        early.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        early.execute("SELECT count(*) FROM pg_class")
        ledger.raise_fence(epoch=1, lock_timeout_s=1)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            early.execute("UPDATE item SET n = 99")


def test_C1_an_open_writer_makes_the_fence_time_out_by_name_and_changes_nothing(dsn, ledger):
    with psycopg.connect(dsn, application_name="nightly job") as writer:
        writer.execute("UPDATE item SET n = n + 1")
        assert ledger.longest_writer_s() > 0
        with pytest.raises(FenceTimeout) as timeout:
            ledger.raise_fence(epoch=1, lock_timeout_s=0.1)
        assert "nightly job" in timeout.value.reason
        writer.execute("UPDATE item SET n = n + 1")
    assert ledger.read() == Ownership(owner="legacy", epoch=1, fenced=False)
    assert not refused(dsn, WRITES[0])


def test_the_fence_waits_for_an_open_writer_and_lets_its_write_commit(dsn, ledger):
    writer = psycopg.connect(dsn)
    writer.execute("UPDATE item SET n = 42")
    timer = threading.Timer(0.3, lambda: (writer.commit(), writer.close()))
    timer.start()
    ledger.raise_fence(epoch=1, lock_timeout_s=10)
    timer.join()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT n FROM item WHERE id = 1").fetchone() == (42,)


def test_readers_and_foreign_key_checks_pass_the_fence(dsn, ledger):
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE line (item_id int REFERENCES item)")
    ledger.raise_fence(epoch=1, lock_timeout_s=1)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO line VALUES (1)")
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (1,)


def test_transfer_needs_the_epoch_the_owner_and_the_fence(dsn, ledger):
    with pytest.raises(OwnershipMoved):
        ledger.give_up(to="service", epoch=1)
    ledger.raise_fence(epoch=1, lock_timeout_s=1)
    with pytest.raises(OwnershipMoved):
        ledger.give_up(to="service", epoch=2)
    ledger.give_up(to="service", epoch=1)
    assert ledger.read() == Ownership(owner="service", epoch=2, fenced=True)
    with pytest.raises(OwnershipMoved):
        ledger.lower_fence(epoch=2)
    with pytest.raises(OwnershipMoved):
        ledger.take_up(epoch=2)
    ledger.take_up(epoch=3)
    ledger.take_up(epoch=3)
    assert ledger.read() == Ownership(owner="legacy", epoch=3, fenced=False)
    assert not refused(dsn, WRITES[0])


def test_uninstall_leaves_the_tables_as_they_were(dsn, ledger):
    ledger.raise_fence(epoch=1, lock_timeout_s=1)
    ledger.uninstall()
    ledger.uninstall()
    assert ledger.read() is None
    assert not refused(dsn, WRITES[0])
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM pg_trigger WHERE tgname ~ 'strangler'").fetchone() == (0,)
        assert connection.execute("SELECT to_regnamespace('strangler')").fetchone() == (None,)


def test_the_higher_epoch_is_the_truth_and_a_tie_between_two_owners_is_refused():
    legacy = Ownership(owner="service", epoch=5, fenced=True)
    behind = Ownership(owner="legacy", epoch=4, fenced=True)
    assert OwnershipPair(legacy=legacy, service=behind).owner == "service"
    with pytest.raises(OwnershipAmbiguous):
        _ = OwnershipPair(legacy=legacy, service=Ownership(owner="legacy", epoch=5, fenced=False)).owner


def test_an_unreachable_database_is_named_without_its_password():
    ledger = OwnershipLedger(
        side="legacy", dsn="postgresql://app:s3cret@127.0.0.1:1/none", move="catalog", tables=TABLES
    )
    with pytest.raises(Unreachable) as unreachable:
        ledger.read()
    assert unreachable.value.thing == "legacy database"
    assert "s3cret" not in str(unreachable.value)


def test_a_partition_attached_later_is_fenced_too_and_never_in_the_way(dsn, ledger):
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE item_part_2 PARTITION OF item_part FOR VALUES FROM (100) TO (200)")
    ledger.raise_fence(epoch=1, lock_timeout_s=1)
    assert refused(dsn, "INSERT INTO item_part_2 VALUES (1, 150)")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE item_part_3 PARTITION OF item_part FOR VALUES FROM (200) TO (300)")
    ledger.lower_fence(epoch=1)
    assert not refused(dsn, "INSERT INTO item_part_2 VALUES (1, 150)")
    assert not refused(dsn, "INSERT INTO item_part_3 VALUES (1, 250)")


def test_a_table_added_to_the_plan_later_is_fenced_on_the_side_that_does_not_own(dsn):
    first = OwnershipLedger(side="service", dsn=dsn, move="catalog", tables=["item"])
    first.install(owner="legacy")
    first.close()
    ledger = OwnershipLedger(side="service", dsn=dsn, move="catalog", tables=TABLES)
    ledger.install(owner="legacy")
    assert refused(dsn, "INSERT INTO item_part VALUES (1, 5)")
    ledger.close()


def test_what_would_hold_up_the_taker_is_found_beforehand_by_name(dsn, ledger):
    with psycopg.connect(dsn, application_name="index build") as builder:
        builder.execute("LOCK TABLE item IN SHARE UPDATE EXCLUSIVE MODE")
        with pytest.raises(FenceTimeout, match="index build"):
            ledger.try_lock(lock_timeout_s=0.1)
    ledger.try_lock(lock_timeout_s=1)


def test_taking_up_twice_needs_no_lock(dsn, ledger):
    with psycopg.connect(dsn) as writer:
        writer.execute("UPDATE item SET n = 1")
        ledger.take_up(epoch=1)


def test_preparing_and_uninstalling_wait_for_open_transactions_without_making_others_queue(dsn):
    ledger = OwnershipLedger(side="legacy", dsn=dsn, move="catalog", tables=TABLES)
    blocker = psycopg.connect(dsn)
    blocker.execute("UPDATE item SET n = 5")
    preparing = threading.Thread(target=lambda: ledger.install(owner="legacy"))
    preparing.start()
    for _ in range(5):
        assert not refused(dsn, "INSERT INTO item VALUES (8, 8) ON CONFLICT DO NOTHING")
    blocker.commit()
    blocker.close()
    preparing.join(timeout=30)
    assert ledger.read() == Ownership(owner="legacy", epoch=1, fenced=False)
    ledger.uninstall()
    ledger.close()


def test_a_deadlock_with_a_writer_ends_in_the_fence_or_a_clear_refusal_never_as_unreachable(dsn, ledger):
    """A writer holds one table and wants the other, in the order opposite to ours."""
    refusals = []

    def write():
        for _ in range(30):
            with psycopg.connect(dsn) as writer:
                try:
                    writer.execute("INSERT INTO item_part VALUES (1, 5)")
                    writer.execute("UPDATE item SET n = n + 1")
                except (psycopg.errors.DeadlockDetected, psycopg.errors.ReadOnlySqlTransaction):
                    writer.rollback()

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for _ in range(15):
        try:
            ledger.try_lock(lock_timeout_s=1)
            ledger.raise_fence(epoch=1, lock_timeout_s=1)
            ledger.lower_fence(epoch=1)
        except FenceTimeout as timeout:
            refusals.append(timeout)
    for writer in writers:
        writer.join()
    assert len(refusals) < 15
    assert ledger.read() == Ownership(owner="legacy", epoch=1, fenced=False)

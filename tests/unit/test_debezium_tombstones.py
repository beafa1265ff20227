"""Tombstones that compaction left alone."""

from cdc.changelog.debezium_topics.tombstones import DeletesSeen

PLACE, OTHER = ("t", 0), ("t", 1)


def test_a_tombstone_belongs_to_the_delete_before_it():
    seen = DeletesSeen()
    seen.saw(PLACE, b"1", is_delete=True)
    seen.saw(OTHER, b"2", is_delete=False)
    assert not seen.is_orphan(PLACE, 9, b"1")
    assert seen.is_orphan(PLACE, 9, b"2")
    assert seen.is_orphan(OTHER, 9, b"2")
    seen.saw(PLACE, b"1", is_delete=False)
    assert seen.is_orphan(PLACE, 11, b"1")


def test_where_a_stream_goes_on_a_gap_tells():
    seen = DeletesSeen()
    seen.begin(PLACE, 5)
    assert not seen.is_orphan(PLACE, 5, b"1")
    assert seen.is_orphan(PLACE, 6, b"1")


def test_where_a_stream_begins_there_is_nothing_to_delete():
    assert not DeletesSeen().is_orphan(PLACE, 6, b"1")

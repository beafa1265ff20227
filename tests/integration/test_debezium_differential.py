"""Debezium's engine as oracle: the same statements, both engines, the same server."""

import uuid
from pathlib import Path

import pytest

from cdc.debezium.codec import Loss
from sandbox.postgres import create_database
from tests.debezium import explained, oracle

pytestmark = pytest.mark.integration

DOC = Path(__file__).parents[2] / "docs" / "debezium-compatibility.md"


@pytest.fixture(scope="module")
def both(postgres_url):
    return oracle.run_both(create_database(postgres_url, f"oracle_{uuid.uuid4().hex[:8]}"))


@pytest.fixture(scope="module")
def found(both):
    return [each for mode, (theirs, ours) in both.records.items() for each in oracle.differences(mode, theirs, ours)]


def test_every_difference_is_explained(both, found):
    assert all(len(theirs) > 35 for theirs, _ in both.records.values())
    unexplained = explained.unexplained(found)
    assert not unexplained, "\n".join(f"{each}" for each in unexplained[:20])


def test_every_explanation_is_still_needed(found):
    assert explained.unused(found) == []


def test_the_fields_are_in_the_same_order(both):
    theirs, ours = both.records["defaults"]
    pairs = [(one[2]["payload"], two[2]) for one, two in zip(theirs, ours, strict=True) if one[2] and two[2]]
    assert pairs
    for one, two in pairs:
        assert list(one) == list(two)
        assert list(one.get("source", ())) == list(two.get("source", ()))


def bare(part):
    return part["payload"] if isinstance(part, dict) and part.keys() == {"schema", "payload"} else part


@pytest.mark.parametrize("with_schema", [True, False], ids=["schema", "no schema"])
@pytest.mark.parametrize("mode", oracle.MODES)
@pytest.mark.parametrize("writer", ["Debezium", "ours"])
def test_what_is_read_back_is_the_sources_or_in_doubt(both, mode, writer, with_schema):
    records = both.records[mode][0 if writer == "Debezium" else 1]
    if not with_schema:
        records = [tuple(bare(part) for part in record) for record in records]
    doubted, wrong = oracle.doubted_and_wrong(both, mode, records)
    assert ("types", "c_interval") in doubted or mode == "strings"
    unexplained = [each for each in wrong if not any(same(*each) for same in explained.SAME_BUT_NOT_THE_TEXT)]
    assert not unexplained, unexplained[:10]


def section(name):
    text = DOC.read_text()
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->")[0].strip()


def test_the_document_has_the_explanations():
    assert section("differences") == explained.as_table()


def test_the_document_names_every_loss():
    assert section("losses") == explained.losses_as_table(Loss)

import json
from pathlib import Path

import pytest

from migration_plans.assess.assessment import assess
from migration_plans.assess.document import FactsDocument, json_schema
from migration_plans.assess.facts_file import load_facts, read_facts
from migration_plans.errors import FactsInvalid

ORDER = {"transactions": [[["orders", "W"], ["stock", "R"]]]}


def refused(document):
    with pytest.raises(FactsInvalid) as error:
        read_facts(document if isinstance(document, str) else json.dumps(document))
    assert error.value.exit_code == 2
    return error.value


def test_codes_and_bounds():
    facts = read_facts(
        json.dumps(
            {
                "functionalities": {
                    "buy": {"calls": 3, "transactions": [[["stock", "R"], ["orders", "W"]], [], [["orders", "R"]]]},
                    "idle": {"transactions": []},
                    "look": {"transactions": [[["stock", "R"]]]},
                },
                "foreign_keys": [{"from": "orders", "to": "customers", "on_delete": "cascade"}],
            }
        )
    )
    assert facts.tables == ("customers", "orders", "stock")
    assert facts.accesses.tolist() == [4, 3, 2, 4]
    assert facts.transaction_starts.tolist() == [0, 2, 3, 4]
    assert facts.functionality_starts.tolist() == [0, 2, 2, 3]
    assert facts.functionality_of_access.tolist() == [0, 0, 0, 2]
    assert facts.calls.tolist() == [3, 1, 1]
    assert (facts.foreign_keys[0].source, facts.foreign_keys[0].target) == (1, 0)
    assert facts.foreign_keys[0].on_delete == "CASCADE"


def test_the_shipped_schema_is_that_of_the_models():
    shipped = json.loads(Path("migration_plans/assess/facts.schema.json").read_text())
    assert shipped == json_schema()
    assert shipped["required"] == ["functionalities"]


@pytest.mark.parametrize(
    ("text", "thing", "reason"),
    [
        ("", "the document", "empty"),
        ("  \n", "the document", "empty"),
        ("[]", "the document", "not a JSON object"),
        ("null", "the document", "not a JSON object"),
        ("{", "line 1, column 2", "double quotes"),
        ('{"functionalities": {', "line 1, column 22", "double quotes"),
        ('{"functionalities": {"a": {"transactions": []}\n "b"', "line 2, column 2", "',' or '}'"),
        ('{"functionalities": {}, }', "line 1, column 25", "double quotes"),
        ('{"functionalities": {}} x', "line 1, column 25", "nothing is expected"),
        ('{"functionalities" {}}', "line 1, column 20", "':'"),
        ('{"functionalities": []}', "functionalities", "not a JSON object"),
        ('{"functionalities": ' + "[" * 200_000, "line 1", "malformed"),
        ('{"functionalities": {"a": {"calls": ' + "9" * 5000 + "}}}", "line 1", "malformed"),
        ("{}", "functionalities", "missing"),
        ('{"functionalities": {}}', "facts", "no table"),
        ('{"functionalities": {"a": {}, "a": {}}}', "functionalities: a", "twice"),
    ],
)
def test_what_is_malformed_is_named_with_its_place(text, thing, reason):
    error = refused(text)
    assert thing in error.thing
    assert reason in error.reason


@pytest.mark.parametrize(
    ("functionality", "where"),
    [
        ({}, "functionalities.f.transactions"),
        ({"transactions": [[["a", "X"]]]}, "functionalities.f.transactions.0.0"),
        ({"transactions": [[["a"]]]}, "functionalities.f.transactions.0.0"),
        ({"transactions": [["a", "R"]]}, "functionalities.f.transactions.0.0"),
        ({"transactions": [[[1, "R"]]]}, "functionalities.f.transactions.0.0"),
        ({"transactions": [[["", "R"]]]}, "functionalities.f.transactions.0.0"),
        ({"calls": -1, "transactions": []}, "functionalities.f.calls"),
        ({"calls": float("inf"), "transactions": []}, "functionalities.f.calls"),
        ([], "functionalities.f"),
        (None, "functionalities.f"),
    ],
)
def test_what_has_the_wrong_form_is_named(functionality, where):
    assert refused({"functionalities": {"f": functionality}}).thing.startswith(where)


@pytest.mark.parametrize(
    ("rest", "where"),
    [
        ({"functionalities": {"f": {"transactions": [[["order", "R"]]]}}}, "functionalities.f"),
        ({"foreign_keys": [{"from": "orders", "to": "custumers"}]}, "foreign_keys.0.to"),
        ({"joins": [{"tables": ["orders", "x"]}]}, "joins"),
        ({"views": {"v": {"tables": ["x"]}}}, "views.v"),
        ({"triggers": {"t": {"table": "x"}}}, "triggers.t"),
        ({"hints": {"must_link": [["orders", "x"]]}}, "hints.must_link"),
    ],
)
def test_an_unknown_table_is_named(rest, where):
    error = refused({"tables": {"orders": {}, "stock": {}}, "functionalities": {"f": ORDER}, **rest})
    assert error.thing == where
    assert "not among `tables`" in error.reason


def test_a_misspelt_table_gets_a_suggestion():
    facts = {"tables": {"orders": {}}, "functionalities": {"f": {"transactions": [[["order", "R"]]]}}}
    assert "did you mean 'orders'" in refused(facts).mend


def test_the_example_of_the_documentation_is_valid_and_shows_every_key():
    text = Path("docs/assess.md").read_text()
    example = text.partition("```json\n")[2].partition("```")[0]
    ignored = []
    facts = read_facts(example, ignored=ignored.append)
    assert not ignored
    assert set(json.loads(example)) == set(FactsDocument.model_fields)
    assert len(facts.joins) == 3
    assert sorted(assess(facts).as_dict()["stability"]) == sorted(json.loads(example)["tables"])


def test_keys_that_are_not_known_are_reported():
    ignored = []
    read_facts(json.dumps({"functionalities": {"f": ORDER}, "foreign_key": []}), ignored=ignored.append)
    assert ignored == ["foreign_key"]


def test_files_that_cannot_be_read(tmp_path):
    latin = tmp_path / "latin.json"
    latin.write_bytes(b'{"caf\xe9": 1}')
    for path, reason in ((tmp_path / "none.json", "no such file"), (tmp_path, "directory"), (latin, "UTF-8")):
        with pytest.raises(FactsInvalid, match=reason):
            load_facts(path)
    marked = tmp_path / "marked.json"
    marked.write_bytes(b"\xef\xbb\xbf" + json.dumps({"functionalities": {"f": ORDER}}).encode())
    assert load_facts(marked).tables == ("orders", "stock")

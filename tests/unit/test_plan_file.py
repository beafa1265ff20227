from pathlib import Path

import pytest

from migration_plans.errors import PlanInvalid
from migration_plans.plan_file import load_plan

EXAMPLE = Path("migration_plans/catalog.yaml")
LINE_OF_SHADOW = 1 + next(n for n, line in enumerate(EXAMPLE.read_text().splitlines()) if line.startswith("shadow:"))


def changed(tmp_path, old, new):
    text = EXAMPLE.read_text()
    assert old in text
    path = tmp_path / "plan.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_the_example_is_valid_and_shows_every_key():
    plan = load_plan(EXAMPLE)
    assert plan.tables["price"].targets["prices"]["amount_minor"].scale == 100
    assert plan.tables["product"].targets["product_descriptions"]["body"].source == "descr"
    assert plan.target_tables == ("categories", "products", "product_descriptions", "prices", "product_categories")


@pytest.mark.parametrize(
    ("old", "new", "thing", "reason"),
    [
        ("shadow:", "shadwo:", f"plan.yaml:{LINE_OF_SHADOW}: shadwo", "not permitted"),
        ("scale: 100", "scale: -1", "amount_minor.scale", "greater than"),
        ("from: amount, ", "", "amount_minor", "exactly one of `from` and `constant`"),
        ("[5, 25, 100]", "[5, 25]", "ramp", "end at 100"),
        ("[5, 25, 100]", "[25, 5, 100]", "ramp", "rise"),
        ("kind: read", "kind: raed", "routes.0.kind", "'read' or 'write'"),
        ("{header: x-customer-id}", "{}", "sticky", "exactly one of `header` and `cookie`"),
        ("move: catalog", "move: Cata log", "move", "pattern"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(tmp_path, old, new, thing, reason):
    with pytest.raises(PlanInvalid) as refused:
        load_plan(changed(tmp_path, old, new))
    assert thing in refused.value.thing
    assert reason in refused.value.reason
    assert refused.value.exit_code == 2


def test_a_misspelt_key_gets_a_suggestion(tmp_path):
    with pytest.raises(PlanInvalid) as refused:
        load_plan(changed(tmp_path, "shadow:", "shadwo:"))
    assert refused.value.mend == "did you mean `shadow`?"


def test_malformed_yaml_names_the_line(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("move: [catalog\nservice: x\n")
    with pytest.raises(PlanInvalid) as refused:
        load_plan(path)
    assert refused.value.thing.startswith(f"{path}:2:")


def test_a_missing_file_and_a_bare_list_are_refused(tmp_path):
    with pytest.raises(PlanInvalid, match="no such file"):
        load_plan(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(PlanInvalid, match="not a mapping"):
        load_plan(tmp_path / "list.yaml")

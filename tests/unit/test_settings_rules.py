"""The rule file of a service's parallel run, from strangler.toml to the inspection plane."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from commands.programs import rules_option
from router.compare.rules import HeaderPolicy
from router.compare.rules_file import compare_rules
from strangler.errors import BadInput
from strangler.settings import load_settings

DOCS = Path(__file__).resolve().parents[2] / "docs" / "parallel-run-rules.md"
SETTINGS = """
[legacy]
database = "postgresql://db/shop"
url = "http://127.0.0.1:1"

[services.goods]
database = "postgresql://db/goods"
url = "http://127.0.0.1:2"
plan = "plan.yaml"
"""


def test_the_rules_are_found_beside_the_settings(tmp_path):
    config = tmp_path / "strangler.toml"
    config.write_text(SETTINGS)
    assert rules_option(load_settings(config), "goods") == ()
    config.write_text(SETTINGS + 'rules = "rules.yaml"\n')
    with pytest.raises(BadInput) as refused:
        rules_option(load_settings(config), "goods")
    assert "rules.yaml" in refused.value.thing
    (tmp_path / "rules.yaml").write_text("compare: {}\n")
    assert rules_option(load_settings(config), "goods") == ("--rules", str(tmp_path / "rules.yaml"))


def test_the_rules_that_the_docs_show_are_rules():
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (shown,) = [YAML(typ="safe").load(block) for block in blocks]
    assert shown.keys() == {"compare", "shadow", "redact"}
    rules = compare_rules(shown["compare"], where=DOCS.name)
    assert rules.header_policies["set-cookie"] is HeaderPolicy.IGNORE
    assert [mask.path for mask in rules.masks] == ["results[].price"]

"""A person's decisions about boundaries: the file, the commands, and what assess makes of them; and the page."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from cli import strangler
from migration_plans.assess.assessment import assess
from migration_plans.assess.comparison import changes, cut_figures
from migration_plans.assess.decisions import Decisions, as_decisions, merged, moved, pinned
from migration_plans.assess.decisions_file import load_decisions, save_decisions
from migration_plans.assess.layout import lay_out
from migration_plans.assess.report_html import render_html
from migration_plans.errors import BoundariesInvalid
from strangler.errors import BadInput
from tests.unit.assess_planted import planted
from tests.unit.assess_systems import facts_of

USED = {
    **{f"sell {number}": [["orders", "W"], ["lines", "W"]] for number in range(5)},
    **{f"stock {number}": [["stock", "W"], ["bins", "W"]] for number in range(5)},
    "place": [["orders", "W"], ["lines", "W"], ["stock", "W"]],
    "look": [["orders", "R"], ["bins", "R"]],
}
KEYS = [{"from": "lines", "to": "stock", "columns": ["stock_id"]}, {"from": "lines", "to": "orders", "columns": ["o"]}]
OWN = {"sales": ("lines", "orders"), "store": ("bins", "stock")}


def shop():
    return facts_of(USED, foreign_keys=KEYS, joins=[{"tables": ["orders", "bins"], "functionality": "look"}])


def test_figures_of_a_cut_by_hand():
    """Between the services: `place` writes in both, `look` reads from both; one key and one join are cut."""
    figures = cut_figures(shop(), Decisions(services=OWN).service_map(shop()))
    assert (figures.services, figures.sagas, figures.compensations, figures.hops) == (2, 1, 1, 2)
    assert (figures.foreign_keys, figures.joins) == (1, 1)
    assert figures.complexity == 2, "place writes orders, which look reads: one for each"
    assert figures.concentration == 0.5


def test_moving_there_and_back_changes_nothing():
    facts, own = shop(), Decisions(services=OWN)
    there = moved(own, "stock", "sales")
    back = moved(there, "stock", "store")
    assert back == own
    before, after = (cut_figures(facts, one.service_map(facts)) for one in (own, there))
    assert changes(before, after)["sagas"] == 4, "`place` is whole then, and five of the store are not"
    assert set(changes(before, cut_figures(facts, back.service_map(facts))).values()) == {0}


def test_a_service_that_is_emptied_goes_away_and_merging_takes_pins_along():
    own = Decisions(services={"a": ("x",), "b": ("y",)}, pins={"b": ("y",)})
    assert moved(own, "x", "b").services == {"b": ("x", "y")}
    assert merged(own, "a", "b") == Decisions(services={"a": ("x", "y")}, pins={"a": ("y",)})


def test_a_pin_binds_what_is_proposed_and_names_it():
    facts = shop()
    free = assess(facts).chosen.services
    assert free.of_table[facts.tables.index("bins")] == free.of_table[facts.tables.index("stock")]
    decisions = pinned(Decisions(), "bins", "sales", "orders")
    assert decisions.pins == {"sales": ("bins", "orders")}
    shown = assess(facts, decisions=decisions).as_dict()
    assert {"bins", "orders"} <= set(shown["services"]["sales"])


def test_pins_of_different_services_keep_tables_apart():
    pins = {"one": ("orders",), "two": ("lines",)}
    shown = assess(shop(), decisions=Decisions(pins=pins)).as_dict()
    assert "orders" in shown["services"]["one"]
    assert "lines" in shown["services"]["two"]


def test_a_name_that_a_pin_takes_is_not_given_twice():
    facts = shop()
    proposed = assess(facts).chosen.services
    name = proposed.names[int(proposed.of_table[facts.tables.index("orders")])]
    pins = {name: ("stock",), "other": ("orders",)}
    names = assess(facts, decisions=Decisions(pins=pins)).chosen.services.names
    assert len(set(names)) == len(names)


def test_an_own_cut_is_assessed_as_it_is_and_proposals_stand_beside_it():
    own = {"a": ("bins", "lines"), "b": ("orders", "stock")}
    shown = assess(shop(), decisions=Decisions(services=own)).as_dict()
    assert {name: tuple(tables) for name, tables in shown["services"].items()} == own
    assert sorted(shown["order"]) == ["a", "b"]
    assert shown["metrics"]["modularity"] is None
    assert shown["alternatives"]
    assert sorted(key["to"] for key in shown["cut_foreign_keys"]) == ["orders", "stock"]


@pytest.mark.parametrize(
    ("decisions", "says"),
    [
        (Decisions(services={"a": ("orders",)}), "is in no service"),
        (Decisions(services={**OWN, "c": ("order",)}), "did you mean 'orders'"),
        (Decisions(services={**OWN, "c": ("stock",)}), "in 'store' as well"),
        (Decisions(services={"c": ("stock", "stock", "orders", "lines", "bins")}), "named twice"),
        (Decisions(services=OWN, pins={"sales": ("stock",)}), "lies in service 'store'"),
        (Decisions(pins={"a": ("stock",), "b": ("stock",)}), "as well"),
        (Decisions(pins={"a": ("nothing",)}), "not in the facts"),
    ],
)
def test_decisions_that_do_not_fit_are_refused(decisions, says):
    with pytest.raises(BoundariesInvalid, match=re.escape(says)):
        assess(shop(), decisions=decisions)


def test_a_pin_against_a_hint_is_refused():
    facts = facts_of(USED, hints={"cannot_link": [["orders", "stock"]]})
    with pytest.raises(BoundariesInvalid, match="together and apart"):
        assess(facts, decisions=Decisions(pins={"a": ("orders", "stock")}))
    together = facts_of(USED, hints={"must_link": [["orders", "stock"]]})
    with pytest.raises(BoundariesInvalid, match="together and apart"):
        assess(together, decisions=Decisions(pins={"a": ("orders",), "b": ("stock",)}))


@pytest.mark.parametrize(
    "hints", [{"must_link": [["orders", "stock"]]}, {"cannot_link": [["bins", "orders", "lines"]]}]
)
def test_an_own_cut_against_a_hint_is_refused(hints):
    with pytest.raises(BoundariesInvalid, match="the facts' hints say"):
        assess(facts_of(USED, hints=hints), decisions=Decisions(services=OWN))


def test_the_file_keeps_comments_and_reads_back_as_written(tmp_path):
    path = tmp_path / "boundaries.yaml"
    path.write_text("# ours\nservices:\n  sales: [lines, orders]  # agreed in May\n  store:\n  - bins\n  - stock\n")
    decisions = load_decisions(path)
    assert decisions == Decisions(services=OWN)
    after = pinned(moved(decisions, "bins", "sales"), "bins", "sales", None)
    save_decisions(path, after)
    assert load_decisions(path) == after
    text = path.read_text()
    assert "# ours" in text
    odd = Decisions(services={"yes": ("null", "1", "a: b", "#x", "é")}, pins={})
    save_decisions(tmp_path / "odd.yaml", odd)
    assert load_decisions(tmp_path / "odd.yaml") == odd


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("services: [", "malformed YAML"),
        ("- a", "is not a mapping"),
        ("service: {}", "is not known"),
        ("services: 3", "is not a mapping"),
        ("services: {a: b}", "is not a list"),
        ("services: {a: [1]}", "is not a list"),
        ("services: {1: [a]}", "in quotes"),
        ("services: {a: [x]}\nservices: {b: [x]}", "malformed YAML"),
        ("services: !!python/object:os.system {}", ""),
    ],
)
def test_a_malformed_file_is_an_error_that_names_it(tmp_path, text, says):
    path = tmp_path / "boundaries.yaml"
    path.write_text(text)
    if not says:
        assert load_decisions(path) == Decisions()
        return
    with pytest.raises(BoundariesInvalid, match=says) as refused:
        load_decisions(path)
    assert str(path) in refused.value.thing


def test_no_file_is_an_error_where_one_was_named(tmp_path):
    with pytest.raises(BoundariesInvalid, match="no such file"):
        load_decisions(tmp_path / "none.yaml")
    assert load_decisions(tmp_path / "none.yaml", may_be_absent=True) == Decisions()


def run(tmp_path, *arguments):
    path = tmp_path / "facts.json"
    if not path.exists():
        functionalities = {name: {"transactions": [used]} for name, used in USED.items()}
        path.write_text(json.dumps({"functionalities": functionalities, "foreign_keys": KEYS}))
    return CliRunner().invoke(strangler, [*arguments, "--facts", str(path)])


def test_the_commands_work_on_one_file(tmp_path):
    shown = json.loads(run(tmp_path, "boundaries", "show", "--json").stdout)
    assert shown["source"] == "proposed"
    target, other = (
        next(name for name, tables in shown["services"].items() if one in tables) for one in ("orders", "stock")
    )
    asked = json.loads(run(tmp_path, "boundaries", "what-if", "move", "stock", target, "--json").stdout)
    assert asked["saved"] is None
    assert not (tmp_path / "boundaries.yaml").exists()
    made = json.loads(run(tmp_path, "boundaries", "move", "stock", target, "--json").stdout)
    assert (made["change"], made["services"]) == (asked["change"], asked["services"])
    assert made["change"]["sagas"] == made["after"]["sagas"] - made["before"]["sagas"]
    shown = json.loads(run(tmp_path, "boundaries", "show", "--json").stdout)
    assert shown["source"] == "decided"
    assert "stock" in shown["services"][target]
    assert run(tmp_path, "boundaries", "pin", "stock", target).exit_code == 0
    assert isinstance(run(tmp_path, "boundaries", "move", "stock", other).exception, BoundariesInvalid)
    merge = json.loads(run(tmp_path, "boundaries", "what-if", "merge", target, other, "--json").stdout)
    assert merge["after"]["sagas"] == 0
    decided = run(tmp_path, "assess", "--json", "--decisions", str(tmp_path / "boundaries.yaml"))
    assert json.loads(decided.stdout)["services"] == {
        name: sorted(tables) for name, tables in shown["services"].items()
    }
    plain = run(tmp_path, "boundaries", "show")
    assert "stock*" in plain.stdout


@pytest.mark.parametrize(
    "arguments",
    [("move", "stok", "orders"), ("move", "stock", "nowhere"), ("pin", "stok", "orders"), ("pin", "stock", "nowhere")],
)
def test_names_that_do_not_exist_are_refused_and_nothing_is_written(tmp_path, arguments):
    done = run(tmp_path, "boundaries", *arguments)
    assert isinstance(done.exception, BoundariesInvalid)
    assert not (tmp_path / "boundaries.yaml").exists()


def test_a_new_service_has_to_be_asked_for(tmp_path):
    made = json.loads(run(tmp_path, "boundaries", "move", "stock", "fresh", "--new", "--json").stdout)
    assert made["services"]["fresh"] == ["stock"]
    assert made["change"]["services"] == 1


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.loads, self.scripts, self.tags, self.inside = [], [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data


def test_the_page_is_whole_loads_nothing_and_escapes_names(tmp_path):
    odd = "</script><img src=x onerror=alert(1)>"
    facts = facts_of({f"do {odd}": [[odd, "W"], ["b", "W"]], "other": [["b", "R"]]})
    page = _Page()
    text = render_html(assess(facts, decisions=Decisions(services={f"s {odd}": (odd,), "t": ("b",)})))
    page.feed(text)
    assert not page.loads
    assert "img" not in page.tags
    assert "url(" not in text
    picture = json.loads(page.scripts[0])
    assert [table["name"] for table in picture["tables"]] == [odd, "b"]
    assert len(page.scripts) == 2


def test_the_page_is_written_and_a_folder_in_its_place_is_an_error(tmp_path):
    assert run(tmp_path, "assess", "--html", str(tmp_path / "r.html"), "--json").exit_code == 0
    assert (tmp_path / "r.html").read_text().endswith("</html>")
    (tmp_path / "file").write_text("")
    assert isinstance(run(tmp_path, "assess", "--html", str(tmp_path / "file" / "r.html")).exception, BadInput)


@pytest.mark.parametrize("services", [1, 2, 12])
def test_no_disc_overlaps_and_every_table_lies_in_its_own(services):
    facts, known = planted(3, services=services, tables_each=6, functionalities_each=8, foreign_keys=True)
    groups = {f"s{number}": tuple(np.array(facts.tables)[known == number].tolist()) for number in range(services)}
    use = assess(facts, decisions=Decisions(services=groups)).usage
    layout = lay_out(use)
    distance = np.sqrt(((layout.centers[:, None] - layout.centers[None]) ** 2).sum(axis=2))
    reach = layout.radii[:, None] + layout.radii[None, :]
    assert (distance + np.eye(services) * 1e9 >= reach).all()
    off = np.sqrt(((layout.places - layout.centers[use.services.of_table]) ** 2).sum(axis=1))
    assert (off < layout.radii[use.services.of_table]).all()
    assert (layout.places > 0).all()
    assert (layout.places < [layout.width, layout.height]).all()
    assert np.array_equal(lay_out(use).places, layout.places)


def test_the_cut_written_down_is_the_cut(tmp_path):
    facts = shop()
    services = assess(facts).chosen.services
    again = as_decisions(facts, services, {}).service_map(facts)
    assert (again.names, again.of_table.tolist()) == (services.names, services.of_table.tolist())

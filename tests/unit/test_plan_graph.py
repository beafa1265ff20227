"""Pictures of plans: what is drawn, and that no name can break the text that draws it."""

import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pydot
import pytest
from click.testing import CliRunner

import cli
from migration_plans.drift.picture import (
    ColumnPicture,
    DependentPicture,
    ForeignKeyPicture,
    SchemaPicture,
    TablePicture,
)
from migration_plans.drift.traffic import Seen
from migration_plans.graph.columns import WIDTH, placed
from migration_plans.graph.dot import as_dot
from migration_plans.graph.drawing import Drawing, Group, Line, Node
from migration_plans.graph.extraction import extraction
from migration_plans.graph.mermaid import LETTERS_MOST, LINES_MOST, as_mermaid
from migration_plans.graph.page import as_page
from migration_plans.plan_file import load_plan
from strangler.errors import BadInput

EXAMPLE = load_plan(Path("migration_plans/catalog.yaml"))
EVIL = 'a"]; end\n%%{init: {}}%% <script>alert(1)</script> `x` #quot; \\n & | --> ]) {{ é'


def seen(*written, reads=()):
    return Seen(calls=1, reads=frozenset(reads), transactions=(frozenset(written),))


def table(*key):
    columns = tuple(ColumnPicture(name=name, number=at, type="int") for at, name in enumerate(("id", "x"), 1))
    return TablePicture(oid=1, columns=columns, key=key)


SCHEMA = SchemaPicture(
    database="1/1",
    tables={name: table("id") for name in ("category", "product", "price", "product_category")},
    foreign_keys=(
        ForeignKeyPicture(name="stock_product_id_fkey", direction="in", table="stock", columns=("product_id",),
                          ref_table="product", ref_columns=("id",), on_delete="c"),
        ForeignKeyPicture(name="product_maker", direction="out", table="product", columns=("maker",),
                          ref_table="crm.maker", ref_columns=("id",)),
    ),
    inner_keys=(
        ForeignKeyPicture(name="price_product", direction="inner", table="price", columns=("product_id",),
                          ref_table="product", ref_columns=("id",)),
        ForeignKeyPicture(name="gone_product", direction="inner", table="left the plan", columns=("product_id",),
                          ref_table="product", ref_columns=("id",)),
    ),
    dependents=(
        DependentPicture(kind="view", name="product_listing", tables=("price", "product")),
        DependentPicture(kind="function", name="total", tables=("price",)),
    ),
)  # fmt: skip
TRAFFIC = {
    "GET /api/products/{product_id}": seen(reads=("product", "orders")),
    "POST /api/products": seen("product", reads=("product", "category")),
    "GET /elsewhere": seen(reads=("product",)),
    "import": seen("price", reads=("product",)),
}


def lines_of(drawing, kind):
    return [(line.start, line.end, line.label) for line in drawing.lines if line.kind == kind]


def test_an_extraction_shows_tables_targets_endpoints_keys_and_who_is_left_behind():
    drawing = extraction(EXAMPLE, SCHEMA, TRAFFIC)
    assert ("table product", "target product_descriptions", "2 columns") in lines_of(drawing, "moves")
    assert lines_of(drawing, "key") == [
        ("table stock", "table product", "keep_on_copy: stock_product_id_fkey"),
        ("table product", "table crm.maker", "undecided: product_maker"),
    ]
    assert lines_of(drawing, "inner") == [("table price", "table product", "product_id")]
    assert lines_of(drawing, "writes") == [
        ("route product.create", "table product", ""),
        ("writer import", "table price", ""),
    ]
    assert lines_of(drawing, "reads") == [
        ("route product.get", "table product", ""),
        ("route product.create", "table category", ""),
        ("writer import", "table product", ""),
    ]
    assert ("view product_listing", "table price", "") in lines_of(drawing, "uses")
    boxes = {node.id: node for group in drawing.groups for node in group.nodes}
    assert boxes["table price"].lines == ("price", "key id")
    assert boxes["target prices"].lines == ("prices", "key price_id")
    assert boxes["writer import"].lines == ("import", "writes moved tables, and is not in the plan")
    assert boxes["function total"].lines[1] == "not in the plan"
    assert boxes["view product_listing"].lines[1] == "it reads the live copy"


def test_without_a_schema_the_decisions_are_drawn_without_their_ends():
    drawing = extraction(EXAMPLE, None, {})
    assert lines_of(drawing, "key") == []
    stays = [node.lines for group in drawing.groups for node in group.nodes if node.kind == "stays"]
    assert ("stock_product_id_fkey", "keep_on_copy: stock rows are made after the product exists") in stays


def evil():
    boxes = (Node(id=EVIL, kind="moved", lines=(EVIL, "end")), Node(id="end", kind="target", lines=("end",)))
    line = Line(start=EVIL, end="end", kind="key", label=EVIL, about=EVIL)
    itself = Line(start=EVIL, end=EVIL, kind="key", label="itself")
    return Drawing(title=EVIL, groups=(Group(title=EVIL, nodes=boxes),), lines=(line, itself))


MERMAID = [
    re.compile(pattern)
    for pattern in (
        r"flowchart LR",
        r"    accTitle: [\w ,.:/()'-]+",
        r'    subgraph g\d+\["[^"`<>%\\]*"\]',
        r"    end",
        r'        n\d+(\(\[|\[\(|\{\{|\[)"([^"`<>%\\]|<br/>)*"(\]\)|\)\]|\}\}|\])(:::\w+)?',
        r'    n\d+ (-->|==>|-\.->)(\|"[^"`<>%\\]*"\|)? n\d+',
        r'    more\["[^"]*"\]',
        r"    classDef \w+ [\w#:,.\- ]+",
    )
]


def check_mermaid(text):
    wrong = [line for line in text.splitlines() if not any(form.fullmatch(line) for form in MERMAID)]
    assert wrong == []
    boxes = set(re.findall(r"^        (n\d+)", text, re.MULTILINE))
    assert set(re.findall(r"\bn\d+", re.sub(r'"[^"]*"', "", text))) == boxes
    assert text.count("\n    subgraph") == text.count("\n    end\n")


@pytest.mark.parametrize("drawing", [extraction(EXAMPLE, SCHEMA, TRAFFIC), evil()], ids=["example", "evil"])
def test_mermaid_has_the_form_of_a_flowchart_whatever_the_names(drawing):
    check_mermaid(as_mermaid(drawing))


def test_mermaid_stays_within_what_is_drawn_by_github_and_says_what_is_left_out():
    boxes = tuple(Node(id=str(at), kind="service", lines=(f"s{at}",)) for at in range(40))
    many = tuple(Line(start=str(at % 40), end=str(at // 40), kind="ties", label="x" * 30) for at in range(1600))
    text = as_mermaid(Drawing(title="t", groups=(Group(title="g", nodes=boxes),), lines=many))
    check_mermaid(text)
    assert text.count("-->") == LINES_MOST
    assert f"and {1600 - LINES_MOST} lines more" in text
    assert len(text) < LETTERS_MOST + 1000


def test_of_very_many_boxes_mermaid_shows_the_names():
    boxes = tuple(Node(id=str(at), kind="moved", lines=(f"t{at}", "x" * 100)) for at in range(600))
    text = as_mermaid(Drawing(title="t", groups=(Group(title="g", nodes=boxes),)))
    check_mermaid(text)
    assert '"t599"' in text
    assert len(text) < LETTERS_MOST


@pytest.mark.parametrize("drawing", [extraction(EXAMPLE, SCHEMA, TRAFFIC), evil()], ids=["example", "evil"])
def test_dot_is_read_by_a_parser_with_every_box_and_line(drawing):
    [read] = pydot.graph_from_dot_data(as_dot(drawing))
    boxes = [node for cluster in read.get_subgraphs() for node in cluster.get_nodes()]
    wanted = [node for group in drawing.groups for node in group.nodes]
    assert len(read.get_subgraphs()) == len(drawing.groups)
    assert [unquoted(box.get("label")) for box in boxes] == [
        "\\n".join(" ".join(line.split()) for line in node.lines) for node in wanted
    ]
    assert len(read.get_edges()) == len(drawing.lines)


def unquoted(text):
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.loaded, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("drawing", [extraction(EXAMPLE, SCHEMA, TRAFFIC), evil()], ids=["example", "evil"])
def test_the_page_loads_nothing_and_shows_names_as_text(drawing):
    text = as_page(drawing)
    page = Page()
    page.feed(text)
    assert page.loaded == []
    assert "http" not in text.replace("http-equiv", "")
    assert page.tags.count("script") == 1
    assert page.tags.count("rect") == sum(len(group.nodes) for group in drawing.groups)
    assert page.tags.count("path") == len(drawing.lines)
    names = {node.lines[0] for group in drawing.groups for node in group.nodes}
    assert {" ".join(name.split()) for name in names} <= {" ".join(data.split()) for data in page.texts}


def test_no_two_boxes_of_a_page_lie_on_each_other():
    boxes = sorted(placed(extraction(EXAMPLE, SCHEMA, TRAFFIC)).nodes, key=lambda box: (box.x, box.y))
    for upper, lower in itertools.pairwise(boxes):
        assert lower.x >= upper.x + WIDTH or lower.y >= upper.y + upper.height


FACTS = {
    "functionalities": {
        "POST /orders": {"calls": 90, "transactions": [[["stock", "R"], ["orders", "W"], ["order_lines", "W"]]]},
        "GET /orders": {"calls": 90, "transactions": [[["orders", "R"], ["order_lines", "R"]]]},
        "GET /stock": {"calls": 500, "transactions": [[["stock", "R"], ["warehouse", "R"]]]},
        "PUT /stock": {"calls": 50, "transactions": [[["stock", "W"], ["warehouse", "R"]]]},
    },
    "foreign_keys": [{"from": "order_lines", "to": "stock", "columns": ["stock_id"]}],
}
CUT = "services:\n  orders: [orders, order_lines]\n  stock: [stock, warehouse]\n"


def drawn(tmp_path, *arguments):
    (tmp_path / "facts.json").write_text(json.dumps(FACTS))
    (tmp_path / "cut.yaml").write_text(CUT)
    given = ["plan", "graph", "--facts", str(tmp_path / "facts.json"), *arguments]
    return CliRunner().invoke(cli.strangler, given)


def test_all_services_are_drawn_from_facts_alone_in_the_order_of_extraction(tmp_path):
    done = drawn(tmp_path, "--decisions", str(tmp_path / "cut.yaml"))
    assert done.exit_code == 0, done.exception
    check_mermaid(done.stdout)
    assert "extraction 1" in done.stdout
    assert "is what remains" in done.stdout
    assert "1 key" in done.stdout
    out = tmp_path / "services.dot"
    assert drawn(tmp_path, "--format", "dot", "--out", str(out)).exit_code == 0
    assert pydot.graph_from_dot_data(out.read_text())
    assert "<html" in drawn(tmp_path, "--format", "html").stdout


def test_what_cannot_be_drawn_is_refused(tmp_path):
    done = drawn(tmp_path, "shop", "--decisions", "x")
    assert isinstance(done.exception, BadInput)
    done = drawn(tmp_path, "--out", str(tmp_path / "facts.json" / "x"))
    assert isinstance(done.exception, BadInput)

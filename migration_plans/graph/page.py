"""A drawing of one extraction as a page that a browser shows without a network."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from migration_plans.graph.columns import LINE_WORDS, WIDTH, placed
from migration_plans.graph.drawing import Drawing

_TEMPLATES = Path(__file__).parent


def as_page(drawing: Drawing) -> str:
    """The whole page; names are escaped wherever they stand."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = placed(drawing)
    numbers = {each.node.id: number for number, each in enumerate(page.nodes)}
    kinds = [kind for kind in LINE_WORDS if any(line.kind == kind for line in drawing.lines)]
    return environment.get_template("page_template.html").render(
        drawing=drawing, page=page, numbers=numbers, kinds=kinds, words=LINE_WORDS, box_width=WIDTH
    )

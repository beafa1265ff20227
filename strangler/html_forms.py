"""Hidden fields of a page's forms, which a browser sends back: tokens against forgery, ids. Pure."""

from html.parser import HTMLParser


def hidden_inputs(html: str) -> dict[str, str]:
    """Name → value; the last one counts where a name is there twice."""
    parser = _Parser()
    parser.feed(html)
    return parser.values


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and (given.get("type") or "").lower() == "hidden" and given.get("name"):
            self.values[str(given["name"])] = given.get("value") or ""

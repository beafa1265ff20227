"""Secrets in recorded requests and answers, each replaced by a word of its own. Pure.

Equal secrets become equal words within one recording, so that it still shows which answer a token came from, and a
replay of it is consistent: who registers with a hidden password logs in with the same one. Without the key nobody can
tell what a word stood for, or try passwords against it.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from router.sample_redaction import is_sensitive
from strangler.html_forms import hidden_inputs

PREFIX: Final = "hidden-"
_WORD_CHARS: Final = 16
_MIN_KNOWN: Final = 8
"""Characters from which on a secret that was seen is hidden wherever else it stands alone."""
_LONG: Final = 20
_MAX_KNOWN: Final = 100_000
_MAX_DEPTH: Final = 100
_SCHEME: Final = re.compile(r"(?i)(?P<scheme>basic|bearer|digest|token|negotiate|apikey)\s+(?P<value>.+)", re.DOTALL)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_ALONE: Final = re.compile(r"""[^\s;,=&/?'"]{8,}""")
_RUN_TOGETHER: Final = re.compile(r"(?i)csrf|xsrf|passw|passphrase|secret|apikey|accesskey|authenticity")
_DROPPED: Final = frozenset(
    {
        "host", "content-length", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer",
        "upgrade", "accept-encoding", "traceparent", "tracestate", "x-forwarded-for", "x-real-ip", "forwarded",
    }
)  # fmt: skip
_ANSWER_HEADERS: Final = frozenset({"location", "content-type"})


class Hidden:
    """Hides secrets of one recording. `key`: random bytes that are never written anywhere."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}

    def word(self, secret: str) -> str:
        """What stands for this secret; an e-mail address stays one in form, for forms are checked."""
        digest = hmac.new(self._key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        word = PREFIX + digest[:_WORD_CHARS]
        if _EMAIL.fullmatch(secret):
            word += "@example.invalid"
        if len(secret) >= _MIN_KNOWN and len(self._known) < _MAX_KNOWN:
            self._known[secret] = word
        return word

    def target(self, target: str) -> str:
        """A request's path and query."""
        parts = urlsplit(target)
        path = "/".join(self._segment(segment) for segment in parts.path.split("/"))
        return path + (f"?{self.form(parts.query)}" if parts.query else "")

    def form(self, text: str) -> str:
        """`name=value&…`, of a query or a form."""
        pairs = parse_qsl(text, keep_blank_values=True)
        shown = [(name, self._value(name, value)) for name, value in pairs]
        return text if shown == pairs else urlencode(shown)

    def tree(self, node: Any, name: str = "", depth: int = 0) -> Any:
        """A JSON value; everything below a sensitive name is hidden."""
        if depth > _MAX_DEPTH:
            return self.word(json.dumps(node))
        if isinstance(node, dict):
            return {key: self.tree(value, name if _hides(name) else key, depth + 1) for key, value in node.items()}
        if isinstance(node, list):
            return [self.tree(value, name, depth + 1) for value in node]
        if isinstance(node, str):
            return self._value(name, node)
        if node is None or isinstance(node, bool) or not _hides(name):
            return node
        return self.word(str(node))

    def request_headers(self, headers: Sequence[tuple[str, str]]) -> dict[str, str]:
        """Those that a replay needs, names in lower case."""
        shown: dict[str, str] = {}
        for name, value in headers:
            name = name.lower()
            if name == "cookie":
                shown[name] = "; ".join(f"{one}={self._cookie(held)}" for one, held in _cookies(value))
            elif name not in _DROPPED:
                shown[name] = self._header(name, value)
        return shown

    def answer_headers(self, headers: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Where it leads to, and `cookies`, name → word."""
        shown: dict[str, Any] = {}
        cookies = {}
        for name, value in headers:
            name = name.lower()
            if name == "set-cookie":
                ((one, held), *_) = _cookies(value) or [("", "")]
                cookies[one] = self._cookie(held)
            elif name in _ANSWER_HEADERS:
                shown[name] = self.target(value) if name == "location" else value
        return shown | ({"cookies": cookies} if cookies else {})

    def inputs(self, html: str) -> dict[str, str]:
        """Values of hidden fields of the page's forms, which a browser sends back: all of them hidden."""
        return {name: self.word(value) for name, value in hidden_inputs(html).items() if value}

    def _segment(self, segment: str) -> str:
        """A secret that is a plain word (`checkout`) stays: paths say which endpoint it is."""
        is_word = segment.isalpha() and len(segment) < _LONG
        return segment if is_word else self._known.get(segment, segment)

    def _header(self, name: str, value: str) -> str:
        if name in ("authorization", "proxy-authorization"):
            scheme = _SCHEME.fullmatch(value)
            return f"{scheme['scheme']} {self.word(scheme['value'])}" if scheme is not None else self.word(value)
        if name in ("referer", "origin"):
            parts = urlsplit(value)
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self.target(parts.path)}"
        return self._value(name, value)

    def _cookie(self, value: str) -> str:
        return self.word(value) if value else ""

    def _value(self, name: str, value: str) -> str:
        if _hides(name) and value:
            return self.word(value)
        return _ALONE.sub(lambda part: self._known.get(part[0], part[0]), value)


def text_body(body: bytes, content_type: str, hidden: Hidden) -> str | None:
    """A request's body with its secrets hidden; None when it is of a kind in which they cannot be found."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode()
        if kind == "application/json" or kind.endswith("+json"):
            tree = json.loads(text)
            shown = hidden.tree(tree)
            # As it was sent, where nothing is hidden: numbers have more than one spelling.
            return text if shown == tree else json.dumps(shown, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return hidden.form(text) if kind == "application/x-www-form-urlencoded" else None


def answer_shown(body: bytes, content_type: str, hidden: Hidden) -> Mapping[str, Any]:
    """`json` of an answer, or the hidden fields (`inputs`) of a page; empty for what is neither."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/json" or kind.endswith("+json"):
            return {"json": hidden.tree(json.loads(body))}
        if kind == "text/html" and (inputs := hidden.inputs(body.decode(errors="replace"))):
            return {"inputs": inputs}
    except (ValueError, RecursionError):
        return {}
    return {}


def _hides(name: str) -> bool:
    return bool(name) and (is_sensitive(name) or _RUN_TOGETHER.search(name) is not None)


def _cookies(header: str) -> list[tuple[str, str]]:
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return [(name, value) for name, _, value in pairs if name]

"""Samples without secrets: bodies, previews and request targets with sensitive values replaced. Pure."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlsplit

from router.compare.decoding import decoded_body
from router.compare.errors import OversizedBody, UnreadableBody
from router.compare.tree import Tree, parse, preview
from router.compare.values import Answer, Outcome
from router.parallel_values import AnswerSample

SENSITIVE_WORDS = frozenset(
    {
        "password", "passwd", "secret", "token", "authorization", "apikey", "api_key", "credential", "credentials",
        "cookie", "session", "sessionid", "email", "phone", "iban", "ssn", "cvv", "cvc", "card_number", "signature",
    }
)  # fmt: skip
HIDDEN = "***"
MAX_BODY_CHARS = 2048
_MAX_DECODED = 1 << 20
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_FIELD = re.compile(r'"(?P<name>(?:[^"\\]|\\.)*)":\s*(?P<value>"(?:[^"\\]|\\.)*"?|[^,}\]\s]*)')


def is_sensitive(name: str, words: Collection[str] = SENSITIVE_WORDS) -> bool:
    """Whether a field's name is, or contains as a word, one of `words`."""
    parts = [part.lower() for part in _WORDS.findall(name)]
    return name.lower() in words or any(
        "_".join(parts[i:j]) in words for i in range(len(parts)) for j in range(i + 1, min(i + 3, len(parts)) + 1)
    )


def redacted_tree(node: Tree, words: Collection[str] = SENSITIVE_WORDS, depth: int = 0) -> Tree:
    """A copy in which every sensitive field's value is hidden."""
    if depth > 100:
        return HIDDEN
    if isinstance(node, dict):
        return {
            name: HIDDEN if is_sensitive(name, words) else redacted_tree(value, words, depth + 1)
            for name, value in node.items()
        }
    if isinstance(node, list):
        return [redacted_tree(value, words, depth + 1) for value in node[:200]]
    return node


def redacted_answer(answer: Answer, words: Collection[str] = SENSITIVE_WORDS) -> AnswerSample:
    """Status and the redacted body; of a body that is not JSON only length and hash."""
    return AnswerSample(status=answer.status, body=_redacted_body(answer, words), failure=answer.failure or "")


def _redacted_body(answer: Answer, words: Collection[str]) -> str:
    if answer.body_bytes == 0:
        return ""
    try:
        if not answer.is_complete:
            raise UnreadableBody("cut")
        return preview(redacted_tree(parse(decoded_body(answer, _MAX_DECODED)), words), MAX_BODY_CHARS)
    except (UnreadableBody, OversizedBody):
        digest = answer.body_digest or hashlib.sha256(answer.body).hexdigest()
        return f"({answer.body_bytes} bytes, sha256 {digest[:16]}…)"


def redacted_outcome(outcome: Outcome, words: Collection[str] = SENSITIVE_WORDS) -> Outcome:
    """The outcome with its previews hidden where its path, or a field inside the preview, is sensitive."""
    if not outcome.path.startswith("@") and any(
        is_sensitive(step, words) for step in re.split(r"[.\[\]]", outcome.path)
    ):
        return replace(
            outcome, control=HIDDEN if outcome.control else "", candidate=HIDDEN if outcome.candidate else ""
        )
    return replace(
        outcome, control=_redacted_text(outcome.control, words), candidate=_redacted_text(outcome.candidate, words)
    )


def _redacted_text(text: str, words: Collection[str]) -> str:
    if text[:1] not in ("{", "["):
        return text
    shown: list[str] = []
    position = 0
    for match in _FIELD.finditer(text):
        if match.start() < position or not is_sensitive(match["name"], words):
            continue
        shown += [text[position : match.start("value")], HIDDEN]
        if match["value"][:1] in ("{", "["):
            return "".join(shown) + "…"
        position = match.end()
    return "".join(shown) + text[position:]


def redacted_target(target: str, words: Collection[str] = SENSITIVE_WORDS) -> str:
    """A request's path and query with the values of sensitive parameters hidden."""
    parts = urlsplit(target)
    if not parts.query:
        return target
    pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=200)
    shown = "&".join(f"{quote(name)}={HIDDEN if is_sensitive(name, words) else quote(value)}" for name, value in pairs)
    return f"{parts.path}?{shown}"

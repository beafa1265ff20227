"""Response headers: exact names, per-name policy, cookies by name and attributes, redirects without their host."""

from collections import defaultdict
from collections.abc import Callable
from urllib.parse import urlsplit

from router.compare.masks import shape_test
from router.compare.rules import CompareRules, HeaderPolicy
from router.compare.values import Answer, Outcome, OutcomeClass

_IS_TOKEN = shape_test("token")
_VALUE_CHARS = 160
REDACTED_NAMES = ("set-cookie", "authorization", "proxy-authorization", "www-authenticate")


def header_outcomes(control: Answer, candidate: Answer, rules: CompareRules) -> list[Outcome]:
    """The differences between two sets of response headers."""
    if control.headers == candidate.headers and "location" not in dict(control.headers):
        return []
    left, right = _by_name(control), _by_name(candidate)
    outcomes: list[Outcome] = []
    for name in sorted(left.keys() | right.keys()):
        policy = rules.header_policies.get(name)
        if policy is HeaderPolicy.IGNORE:
            continue
        here, there = left.get(name, []), right.get(name, [])
        if name == "set-cookie" and policy is None:
            outcomes += _cookies(here, there)
        elif not here or not there:
            outcomes.append(_outcome(name, OutcomeClass.MISSING if here else OutcomeClass.EXTRA, here, there))
        elif not _agree(name, policy, here, there, control, candidate):
            kind = OutcomeClass.VALUE if len(here) == len(there) else OutcomeClass.SIZE
            outcomes.append(_outcome(name, kind, here, there))
    return outcomes


def _by_name(answer: Answer) -> dict[str, list[str]]:
    values: dict[str, list[str]] = defaultdict(list)
    for name, value in answer.headers:
        values[name.lower()].append(value.strip())
    return values


def _agree(
    name: str, policy: HeaderPolicy | None, here: list[str], there: list[str], control: Answer, candidate: Answer
) -> bool:
    if policy is HeaderPolicy.PRESENT:
        return True
    if policy is HeaderPolicy.TOKENS:
        return _tokens(here) == _tokens(there)
    if policy is None and name == "content-type":
        return _each(here, media_type) == _each(there, media_type)
    if policy is None and name == "location":
        left = [local_target(value, control.origins) for value in here]
        return left == [local_target(value, candidate.origins) for value in there]
    return sorted(here) == sorted(there)


def _each(values: list[str], form: Callable[[str], str]) -> list[str]:
    return sorted(form(value) for value in values)


def _tokens(values: list[str]) -> set[str]:
    return {token.strip().lower() for value in values for token in value.split(",")}


def media_type(value: str) -> str:
    """A content type in one spelling; JSON is UTF-8 whether it says so or not."""
    kind, *parameters = (part.strip().lower().replace(" ", "").replace('"', "") for part in value.split(";"))
    if kind == "application/json" or kind.endswith("+json"):
        parameters = [parameter for parameter in parameters if parameter != "charset=utf-8"]
    return ";".join([kind, *sorted(filter(None, parameters))])


def local_target(location: str, origins: tuple[str, ...]) -> str:
    """A redirect target; relative if it points to the side that sent it."""
    parts = urlsplit(location)
    if parts.netloc.lower() in {urlsplit(origin).netloc.lower() for origin in origins}:
        return parts._replace(scheme="", netloc="").geturl() or "/"
    return location


def _outcome(name: str, kind: OutcomeClass, here: list[str], there: list[str]) -> Outcome:
    path = f"@header.{name}"
    left, right = (
        "***" if values and name in REDACTED_NAMES else ", ".join(values)[:_VALUE_CHARS] for values in (here, there)
    )
    return Outcome(path=path, kind=kind, at=path, control=left, candidate=right)


def _cookies(here: list[str], there: list[str]) -> list[Outcome]:
    """Cookies as a multiset by name. Values never show; two opaque tokens count as alike."""
    left, right = _cookies_by_name(here), _cookies_by_name(there)
    outcomes: list[Outcome] = []
    for name in sorted(left.keys() | right.keys()):
        ours, theirs = left.get(name, []), right.get(name, [])
        path = f"@header.set-cookie.{name}"
        for index in range(max(len(ours), len(theirs))):
            if index >= len(theirs):
                outcomes.append(Outcome(path=path, kind=OutcomeClass.MISSING, at=path, control=_shown(ours[index])))
            elif index >= len(ours):
                outcomes.append(Outcome(path=path, kind=OutcomeClass.EXTRA, at=path, candidate=_shown(theirs[index])))
            else:
                outcomes += _cookie_pair(path, ours[index], theirs[index])
    return outcomes


_Cookie = tuple[str, dict[str, str]]
"""(value, attributes by lower-case name)."""


def _cookies_by_name(lines: list[str]) -> dict[str, list[_Cookie]]:
    cookies: dict[str, list[_Cookie]] = defaultdict(list)
    for line in lines:
        first, *rest = line.split(";")
        name, _, value = first.partition("=")
        attributes = {}
        for part in rest:
            label, _, content = part.partition("=")
            if label.strip():
                attributes[label.strip().lower()] = content.strip()
        cookies[name.strip()].append((value.strip(), attributes))
    return cookies


def _shown(cookie: _Cookie) -> str:
    return "; ".join(["***", *(f"{name}={value}" if value else name for name, value in sorted(cookie[1].items()))])


def _cookie_pair(path: str, ours: _Cookie, theirs: _Cookie) -> list[Outcome]:
    outcomes = []
    if ours[0] != theirs[0] and not (_IS_TOKEN(ours[0]) and _IS_TOKEN(theirs[0])):
        outcomes.append(Outcome(path=path, kind=OutcomeClass.VALUE, at=path, control="***", candidate="***"))
    for name in sorted(ours[1].keys() | theirs[1].keys()):
        at = f"{path}.{name}"
        here, there = ours[1].get(name), theirs[1].get(name)
        if here is None or there is None:
            kind = OutcomeClass.EXTRA if here is None else OutcomeClass.MISSING
            outcomes.append(Outcome(path=at, kind=kind, at=at, control=_shown(ours), candidate=_shown(theirs)))
        elif name != "expires" and here.lower() != there.lower():
            outcomes.append(Outcome(path=at, kind=OutcomeClass.VALUE, at=at, control=here, candidate=there))
    return outcomes

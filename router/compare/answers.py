"""`compare`: two answers in, one comparison out."""

from router.compare.decoding import decoded_body
from router.compare.errors import OversizedBody, UnreadableBody
from router.compare.headers import header_outcomes
from router.compare.paths import ROOT
from router.compare.rules import CompareRules
from router.compare.tree import Tree, identical, parse
from router.compare.values import Answer, Comparison, Outcome, OutcomeClass, Verdict
from router.compare.walk import Walk

DEFAULT_RULES = CompareRules()
_BODY = "@body"


def compare(control: Answer, candidate: Answer, rules: CompareRules = DEFAULT_RULES) -> Comparison:
    """Set the candidate's answer against the control's. Deterministic; work is bounded by the rules' limits.

    Raises only what `rules.normalise` raises; whoever runs it records that as `compare_error`.
    """
    if control.is_error or candidate.is_error:
        return _failed(control, candidate)
    outcomes = _status_outcomes(control, candidate) + header_outcomes(control, candidate, rules)
    if not (control.is_complete and candidate.is_complete):
        return _partial(control, candidate, outcomes)
    if _same_bytes(control, candidate):
        return _finished(outcomes)
    try:
        left = decoded_body(control, rules.max_decoded_bytes)
        right = decoded_body(candidate, rules.max_decoded_bytes)
    except OversizedBody:
        return _partial(control, candidate, outcomes)
    except UnreadableBody as error:
        return _finished([*outcomes, _body(OutcomeClass.SHAPE, str(error), str(error))])
    return _bodies(left, right, _looks_like_json(control, left) or _looks_like_json(candidate, right), outcomes, rules)


def _failed(control: Answer, candidate: Answer) -> Comparison:
    outcomes = () if control.failure or candidate.failure else tuple(_status_outcomes(control, candidate))
    failures = ((name, side) for name, side in (("control", control), ("candidate", candidate)) if side.is_error)
    reason = "; ".join(f"{name}: {side.failure or side.status}" for name, side in failures)
    if control.is_error and candidate.is_error:
        verdict = Verdict.BOTH_ERROR
    else:
        verdict = Verdict.LEGACY_FAILED if control.is_error else Verdict.CANDIDATE_FAILED
    return Comparison(verdict=verdict, outcomes=outcomes, reason=reason)


def _status_outcomes(control: Answer, candidate: Answer) -> list[Outcome]:
    if control.status == candidate.status:
        return []
    return [
        Outcome(
            path="@status",
            kind=OutcomeClass.VALUE,
            at="@status",
            control=str(control.status),
            candidate=str(candidate.status),
        )
    ]


def _same_bytes(control: Answer, candidate: Answer) -> bool:
    return control.body == candidate.body and control.header("content-encoding") == candidate.header("content-encoding")


def _partial(control: Answer, candidate: Answer, outcomes: list[Outcome]) -> Comparison:
    """Status, headers, length and hash are all there is to compare."""
    body: list[Outcome] = []
    if control.header("content-encoding") == candidate.header("content-encoding"):
        if control.body_bytes != candidate.body_bytes:
            body = [_body(OutcomeClass.SIZE, f"{control.body_bytes} bytes", f"{candidate.body_bytes} bytes")]
        elif control.body_digest != candidate.body_digest:
            body = [_body(OutcomeClass.VALUE, control.body_digest, candidate.body_digest)]
    return Comparison(
        verdict=Verdict.MISMATCH if outcomes else Verdict.PARTIAL,
        outcomes=(*outcomes, *body),
        truncated=True,
        reason="body over the comparison limit",
    )


def _bodies(left: bytes, right: bytes, may_be_json: bool, outcomes: list[Outcome], rules: CompareRules) -> Comparison:
    if left == right:
        return _finished(outcomes)
    if not left or not right:
        kind = OutcomeClass.EXTRA if not left else OutcomeClass.MISSING
        return _finished([*outcomes, _body(kind, _size(left), _size(right))])
    if not may_be_json:
        return _finished([*outcomes, *_bytes_outcomes(left, right)])
    trees = [_parsed(side) for side in (left, right)]
    if trees[0] is None and trees[1] is None:
        return _finished([*outcomes, *_bytes_outcomes(left, right)])
    if trees[0] is None or trees[1] is None:
        shown = [_size(side) if tree is None else "JSON" for side, tree in zip((left, right), trees, strict=True)]
        return _finished([*outcomes, _body(OutcomeClass.SHAPE, shown[0], shown[1])])
    return _trees(trees[0][0], trees[1][0], outcomes, rules)


def _parsed(body: bytes) -> tuple[Tree] | None:
    try:
        return (parse(body),)
    except UnreadableBody:
        return None


def _trees(control: Tree, candidate: Tree, outcomes: list[Outcome], rules: CompareRules) -> Comparison:
    if rules.normalise is not None:
        control, candidate = rules.normalise(control), rules.normalise(candidate)
    walk = Walk(rules)
    try:
        if identical(control, candidate):
            return _finished(outcomes)
        walk.pair(control, candidate, ROOT, rules.start)
    except RecursionError:
        walk.budget.truncated = True
    return _finished([*outcomes, *walk.outcomes], truncated=walk.budget.truncated, excused=tuple(walk.excused))


def _finished(outcomes: list[Outcome], *, truncated: bool = False, excused: tuple[str, ...] = ()) -> Comparison:
    if outcomes:
        verdict = Verdict.MISMATCH
    else:
        verdict = Verdict.PARTIAL if truncated else Verdict.MATCH
    return Comparison(verdict=verdict, outcomes=tuple(outcomes), truncated=truncated, excused=excused)


def _looks_like_json(answer: Answer, body: bytes) -> bool:
    return "json" in answer.header("content-type").lower() or body[:64].lstrip()[:1] in (b"{", b"[")


def _bytes_outcomes(left: bytes, right: bytes) -> list[Outcome]:
    at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    kind = OutcomeClass.VALUE if len(left) == len(right) else OutcomeClass.SIZE
    return [_body(kind, f"{_size(left)}, first difference at byte {at}", _size(right))]


def _size(body: bytes) -> str:
    return f"{len(body)} bytes" if body else "empty"


def _body(kind: OutcomeClass, control: str, candidate: str) -> Outcome:
    return Outcome(path=_BODY, kind=kind, at=_BODY, control=control, candidate=candidate)

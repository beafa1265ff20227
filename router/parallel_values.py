"""What a parallel run records about one request, and what it says about all of them. Pure values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from router.compare.values import Verdict
from router.noise import Classification, ClassifiedOutcome

PAIR_NAMES = (
    "matched", "confirmed", "unconfirmed", "noise", "raced",
    "candidate_failed", "legacy_failed", "both_error", "partial", "compare_error",
)  # fmt: skip
COMPARED_NAMES = PAIR_NAMES[:5]
TRUNCATED, WALKED = "truncated", "walked"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerSample:
    """A redacted, bounded picture of one answer."""

    status: int
    body: str
    failure: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExchangeSample:
    """A redacted, bounded picture of one request and both answers. Holds no credentials."""

    method: str
    target: str
    request_id: str
    control: AnswerSample
    candidate: AnswerSample


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One compared request. `differences` are set against the endpoint, `sample` is kept where there are any.

    `reached` names the masks whose path was met if the bodies were walked for that, else it is None.
    """

    at: datetime
    endpoint: str
    verdict: Verdict
    move: str = ""
    classification: Classification | None = None
    differences: tuple[ClassifiedOutcome, ...] = ()
    truncated: bool = False
    excused: tuple[str, ...] = ()
    reached: frozenset[str] | None = None
    control_ms: float | None = None
    candidate_ms: float | None = None
    sample: ExchangeSample | None = None
    reason: str = ""

    @property
    def pair_name(self) -> str:
        """Which of `PAIR_NAMES` this request counts under."""
        if self.verdict is Verdict.MATCH:
            return "matched"
        if self.verdict is Verdict.MISMATCH:
            return (self.classification or Classification.UNCONFIRMED).value
        return self.verdict.value


@dataclass(frozen=True, kw_only=True, slots=True)
class NotCompared:
    """One request that was answered but not compared: `refused` by rule, or `dropped` for want of room or time."""

    at: datetime
    endpoint: str
    kind: str
    reason: str
    move: str = ""

    def __post_init__(self) -> None:
        assert self.kind in ("refused", "dropped")


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedSample:
    """One randomly chosen request answered by legacy twice and by the candidate once, in random order.

    Keys are (path, class) of the differences legacy-candidate and legacy-legacy.
    """

    at: datetime
    endpoint: str
    against_candidate: frozenset[tuple[str, str]]
    against_itself: frozenset[tuple[str, str]]
    move: str = ""


Record = Observation | NotCompared | PairedSample


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencySummary:
    """Of pairs in which both sides answered; `ratio` is candidate over control of the same request."""

    control_p50_ms: float | None = None
    control_p95_ms: float | None = None
    candidate_p50_ms: float | None = None
    candidate_p95_ms: float | None = None
    ratio_p50: float | None = None
    ratio_p95: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointSummary:
    """One endpoint's counts, by the names of `PAIR_NAMES`, and its own upper bound."""

    endpoint: str
    compared: int
    counts: Mapping[str, int]
    upper_bound: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DifferenceSummary:
    """One (endpoint, path, class, classification). `control` and `candidate` show the newest example, redacted.

    `siblings_mean` is how many other differences its requests had: low for a cause, high for a consequence.
    """

    endpoint: str
    path: str
    kind: str
    classification: Classification
    severity: str
    count: int
    siblings_mean: float
    first_seen: datetime
    last_seen: datetime
    at: str = ""
    control: str = ""
    candidate: str = ""
    e_value: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelRunSummary:
    """A parallel run so far. `upper_bound` is on the share of confirmed differences among those compared.

    A mismatch that could not be asked again (`unconfirmed`) counts towards the bound as if it were confirmed.
    """

    move: str | None
    since: datetime | None
    compared: int = 0
    matched: int = 0
    confirmed: int = 0
    unconfirmed: int = 0
    noise: int = 0
    raced: int = 0
    candidate_failed: int = 0
    legacy_failed: int = 0
    both_error: int = 0
    partial: int = 0
    compare_error: int = 0
    truncated: int = 0
    paired: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    confidence: float = 0.95
    upper_bound: float = 1.0
    endpoints: tuple[EndpointSummary, ...] = ()
    differences: tuple[DifferenceSummary, ...] = ()
    latency: LatencySummary = LatencySummary()
    dead_masks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable; times in ISO 8601."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


HIGH, MEDIUM, LOW = "high", "medium", "low"
_HIGH_CLASSES = ("Missing", "Type", "Shape", "DuplicateKey")


def severity(path: str, kind: str) -> str:
    """High: something was removed or changed its type, or the status differs. Low: something was added."""
    if kind in _HIGH_CLASSES or path == "@status":
        return HIGH
    return LOW if kind == "Extra" else MEDIUM

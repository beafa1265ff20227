"""What goes into a comparison and what comes out of it."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

Headers = tuple[tuple[str, str], ...]


class OutcomeClass(StrEnum):
    """How two values at one path differ."""

    VALUE = "Value"
    TYPE = "Type"
    MISSING = "Missing"
    """The control has it, the candidate does not."""
    EXTRA = "Extra"
    """The candidate has it, the control does not."""
    ORDER = "Order"
    SIZE = "Size"
    DUPLICATE_KEY = "DuplicateKey"
    SHAPE = "Shape"
    """Both have a value of one type, but the candidate's is not of the form that the rule demands."""


class Verdict(StrEnum):
    """What one comparison says about the pair."""

    MATCH = "match"
    MISMATCH = "mismatch"
    BOTH_ERROR = "both_error"
    CANDIDATE_FAILED = "candidate_failed"
    LEGACY_FAILED = "legacy_failed"
    PARTIAL = "partial"
    """Compared as far as the limits allow; never counts as a match."""
    COMPARE_ERROR = "compare_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One side's answer to one request.

    `body` is as sent (content encoding not undone) and may be a prefix; `body_bytes` and `body_digest` (SHA-256, hex)
    describe all of it. `failure` names why there is no whole answer (timeout, refused, reset, truncated); then the
    other fields hold what arrived. `origins` are the base URLs under which this side calls itself, for `Location`.
    """

    status: int = 0
    headers: Headers = ()
    body: bytes = b""
    body_bytes: int = 0
    body_digest: str = ""
    failure: str | None = None
    method: str = "GET"
    origins: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        return len(self.body) == self.body_bytes

    @property
    def is_error(self) -> bool:
        """No usable answer: a transport failure or a server error."""
        return self.failure is not None or self.status >= 500

    def header(self, name: str) -> str:
        """The first value of a header given in lower case, or an empty string."""
        return next((value for key, value in self.headers if key.lower() == name), "")


def whole_answer(
    status: int,
    body: bytes = b"",
    headers: Headers = (("content-type", "application/json"),),
    *,
    method: str = "GET",
    origins: tuple[str, ...] = (),
) -> Answer:
    """An answer whose body was received completely."""
    return Answer(
        status=status,
        headers=headers,
        body=body,
        body_bytes=len(body),
        body_digest=hashlib.sha256(body).hexdigest(),
        method=method,
        origins=origins,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One difference.

    `path` is the place without ids (`items[].price`), the key under which it is counted; `at` is the exact place
    (`items[id=42].price`). `control` and `candidate` are short previews of the two values, empty where there is none.
    """

    path: str
    kind: OutcomeClass
    at: str
    control: str = ""
    candidate: str = ""

    @property
    def key(self) -> str:
        """`path.Class`."""
        return f"{self.path}.{self.kind}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The differences between a control's and a candidate's answer.

    `excused` lists ids of rules that forgave a difference; `truncated` says that a limit ended the comparison early.
    """

    verdict: Verdict
    outcomes: tuple[Outcome, ...] = ()
    truncated: bool = False
    excused: tuple[str, ...] = ()
    reason: str = ""

"""The inspection's rule file: what to shadow, how to compare, what to hide. Re-read as soon as it is replaced.

shadow:  {enabled: true, unsafe: ["GET /api/…"]}
compare: masks, arrays, maps, headers, switches (see `router.compare.rules_file`)
redact:  [field names, besides the built-in ones]
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from router.compare import DEFAULT_RULES, CompareRules
from router.compare.rules_file import compare_rules, in_force
from router.inspection.errors import BadInspectionOption
from router.sample_redaction import SENSITIVE_WORDS
from strangler.clock import Clock
from strangler.errors import StranglerError

_log = logging.getLogger(__name__)
MAX_CACHED_ENDPOINTS = 1000


@dataclass(frozen=True, kw_only=True)
class InspectionPolicy:
    """One version of the rules. `is_enabled` false shadows nothing (the kill switch)."""

    is_enabled: bool = True
    unsafe_endpoints: Collection[str] = ()
    rules: CompareRules = DEFAULT_RULES
    sensitive: Collection[str] = SENSITIVE_WORDS
    _by_endpoint: dict[str, CompareRules] = field(default_factory=dict, compare=False, repr=False)

    @property
    def mask_ids(self) -> tuple[str, ...]:
        return tuple(mask.id for mask in self.rules.masks)

    def rules_for(self, endpoint: str) -> CompareRules:
        """The rules at one endpoint; made once each."""
        found = self._by_endpoint.get(endpoint)
        if found is None:
            found = self.rules.for_endpoint(endpoint)
            if len(self._by_endpoint) < MAX_CACHED_ENDPOINTS:
                self._by_endpoint[endpoint] = found
        return found


class _Shadow(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    enabled: bool = True
    unsafe: frozenset[str] = frozenset()


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    shadow: _Shadow = _Shadow()
    compare: dict[str, object] = {}
    redact: frozenset[str] = frozenset()


def read_policy(path: Path, clock: Clock) -> InspectionPolicy:
    """Read and validate a rule file. Raises `BadInput` naming the key that is wrong."""
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text())
        read = _File.model_validate(raw or {})
    except OSError as error:
        raise BadInspectionOption(
            thing=str(path), reason=error.strerror or "cannot be read", mend="name a readable rule file"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        first_line = str(error).partition("\n")[0]
        raise BadInspectionOption(thing=str(path), reason=f"not valid YAML: {first_line}", mend="fix it") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadInspectionOption(thing=f"{path}: {key}", reason=first["msg"], mend="correct this key") from None
    rules, expired = in_force(compare_rules(read.compare, where=f"{path}: compare"), clock.now().date())
    for mask in expired:
        _log.warning("%s: mask %s expired on %s and is not in force", path, mask.id, mask.expires)
    return InspectionPolicy(
        is_enabled=read.shadow.enabled,
        unsafe_endpoints=read.shadow.unsafe,
        rules=rules,
        sensitive=SENSITIVE_WORDS | {word.lower() for word in read.redact},
    )


class PolicyFile:
    """The policy in force. A replaced file holds from the next request on; a bad one is reported, no more."""

    def __init__(
        self, path: Path | None, clock: Clock, on_change: Callable[[InspectionPolicy], None] = lambda _policy: None
    ) -> None:
        self._path = path
        self._clock = clock
        self._on_change = on_change
        self._stamp = self._seen()
        self._policy = read_policy(path, clock) if path is not None else InspectionPolicy()
        self.problem: StranglerError | None = None
        on_change(self._policy)

    def current(self) -> InspectionPolicy:
        stamp = self._seen()
        if stamp != self._stamp and self._path is not None:
            self._stamp = stamp
            try:
                self._policy = read_policy(self._path, self._clock)
                self.problem = None
                self._on_change(self._policy)
            except StranglerError as error:
                self.problem = error
                _log.error("%s; the rules before it stay in force", error)
        return self._policy

    def _seen(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_ino, status.st_size)

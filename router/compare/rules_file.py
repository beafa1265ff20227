"""The comparison part of a rule file: a mapping (as YAML or JSON gives it) to `CompareRules`.

masks:   [{path, kind, endpoint?, reason?, created_by?, expires?, and what the kind needs:
          abs_tol, rel_tol | seconds | shape | pattern | values}]
arrays:  [{path, order?: ordered|unordered, key?: name or [names], endpoint?}]
maps:    [{path, is_map: true|false, endpoint?}]
headers: {name: exact|tokens|present|ignore}
strict_numbers, null_is_missing, null_is_empty: true|false
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from router.compare.errors import BadCompareRules
from router.compare.masks import Mask, MaskKind
from router.compare.rules import ArrayOrder, ArrayRule, CompareRules, HeaderPolicy, MapRule


def _as_decimal(value: object) -> object:
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_texts(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(("true" if item else "false") if isinstance(item, bool) else str(item) for item in value)
    return value


Number = Annotated[Decimal, BeforeValidator(_as_decimal)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Mask(_Part):
    path: str
    kind: MaskKind
    endpoint: str = ""
    abs_tol: Number = Field(default=Decimal(0), ge=0)
    rel_tol: Number = Field(default=Decimal(0), ge=0)
    seconds: float = Field(default=0.0, ge=0)
    shape: str = ""
    pattern: str = ""
    values: Texts = ()
    reason: str = ""
    created_by: str = ""
    expires: date | None = None


class _Array(_Part):
    path: str
    order: ArrayOrder = ArrayOrder.ORDERED
    key: Texts = ()
    endpoint: str = ""


class _Map(_Part):
    path: str
    is_map: bool
    endpoint: str = ""


class _Rules(_Part):
    masks: list[_Mask] = []
    arrays: list[_Array] = []
    maps: list[_Map] = []
    headers: dict[str, HeaderPolicy] = {}
    strict_numbers: bool = False
    null_is_missing: bool = False
    null_is_empty: bool = False


def compare_rules(raw: Mapping[str, Any], *, where: str) -> CompareRules:
    """Validate the mapping read from `where`. Raises `BadCompareRules` naming the key that is wrong."""
    try:
        read = _Rules.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadCompareRules(thing=f"{where}: {key}", reason=first["msg"], mend="correct this key") from None
    rules = CompareRules(
        masks=tuple(Mask(**part.model_dump()) for part in read.masks),
        arrays=tuple(ArrayRule(**part.model_dump()) for part in read.arrays),
        maps=tuple(MapRule(**part.model_dump()) for part in read.maps),
        headers=read.headers,
        strict_numbers=read.strict_numbers,
        null_is_missing=read.null_is_missing,
        null_is_empty=read.null_is_empty,
    )
    _ = rules.start  # reads every path pattern
    return rules


def in_force(rules: CompareRules, today: date) -> tuple[CompareRules, tuple[Mask, ...]]:
    """The rules without masks that have expired, and those masks."""
    expired = tuple(mask for mask in rules.masks if mask.expires is not None and mask.expires < today)
    if not expired:
        return rules, ()
    values = {name: getattr(rules, name) for name in rules.__dataclass_fields__}
    values["masks"] = tuple(mask for mask in rules.masks if mask not in expired)
    return CompareRules(**values), expired

"""The baseline as a file beside the plan: `catalog.yaml` has `catalog.baseline.json`. Meant for git."""

from pathlib import Path

from pydantic import ValidationError

from migration_plans.drift.picture import Baseline
from migration_plans.errors import PlanInvalid
from strangler.durable_files import replace_file

_MEND = "restore it, or write it anew with `strangler plan accept`"


def baseline_path(plan_path: Path) -> Path:
    """Beside the plan."""
    return plan_path.with_name(f"{plan_path.stem}.baseline.json")


def load_baseline(plan_path: Path, move: str) -> Baseline | None:
    """None when there is none. Raises `PlanInvalid` for a file that is damaged or of another move."""
    path = baseline_path(plan_path)
    try:
        baseline = Baseline.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PlanInvalid(thing=str(path), reason=f"cannot be read: {error.strerror}", mend=_MEND) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PlanInvalid(thing=f"{path}: {where}".rstrip(": "), reason=first["msg"], mend=_MEND) from None
    if baseline.move != move:
        raise PlanInvalid(
            thing=str(path), reason=f"is the baseline of move {baseline.move!r}, the plan is of {move!r}", mend=_MEND
        )
    return baseline


def baseline_text(baseline: Baseline) -> str:
    """The file's content. Equal schemas give equal text but for the time."""
    return baseline.model_dump_json(indent=1, exclude_defaults=True) + "\n"


def save_baseline(plan_path: Path, baseline: Baseline) -> Path:
    """Replace it whole; returns where."""
    path = baseline_path(plan_path)
    try:
        replace_file(path, baseline_text(baseline))
    except OSError as error:
        raise PlanInvalid(
            thing=str(path), reason=f"cannot be written: {error.strerror}", mend="make its folder writable"
        ) from None
    return path

"""Writing a new plan's folder: all of it or nothing, and never over anything that is there."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from migration_plans.errors import PlanNotAuthored
from strangler.durable_files import replace_file, sync_folder


def demand_free(folder: Path, names: Mapping[str, str]) -> None:
    """Raises `PlanNotAuthored` naming every file that would be in the way."""
    if folder.exists() and not folder.is_dir():
        raise PlanNotAuthored(thing=str(folder), reason="is a file", mend="name another folder with --out")
    tops = sorted({name.partition("/")[0] for name in names})
    if taken := [name for name in tops if (folder / name).exists() or (folder / name).is_symlink()]:
        raise PlanNotAuthored(
            thing=str(folder),
            reason=f"has {', '.join(taken)} already, and nothing is overwritten",
            mend="name another folder with --out, or move these away",
        )


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Make the files beside the folder, then move them in. Raises `PlanNotAuthored`; then nothing of them is there."""
    demand_free(folder, files)
    moved: list[Path] = []
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".plan-new-") as made:
            for name, text in files.items():
                replace_file(Path(made) / name, text)
            for top in sorted({name.partition("/")[0] for name in files}):
                (Path(made) / top).rename(folder / top)
                moved.append(folder / top)
        sync_folder(folder)
    except OSError as error:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if is_new and folder.exists():
            folder.rmdir()
        raise PlanNotAuthored(
            thing=str(folder),
            reason=f"cannot be written: {error.strerror}",
            mend="name a folder that can be, with --out",
        ) from None

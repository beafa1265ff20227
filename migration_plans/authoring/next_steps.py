"""How to go on from a new plan: what strangler.toml lacks, and the commands in their order. Pure."""

from migration_plans.authoring.draft import Draft


def next_steps(draft: Draft, number: int) -> str:
    """The last part of the checklist."""
    name = draft.package
    return f"""## {number}. Go on

1. Make the service's database, sorted as the monolith's is:
   `CREATE DATABASE {draft.move} TEMPLATE template0 {draft.schema.locale}`
2. Add to strangler.toml:

```toml
{toml_block(draft)}```

3. In this folder, where the package lies:
   `DATABASE_URL=… python -m {name}.migrate` makes the tables (`--down-to base` takes them away),
   `DATABASE_URL=… uvicorn {name}.app:app --port 8001` starts the service.
4. Where strangler.toml lies:

```console
$ strangler plan check {_shell(draft.service)}            # until nothing is left
$ strangler up                            # proxy, gate and stream
$ strangler run {_shell(draft.service)} --until following  # copy, stream, full verification
$ strangler run {_shell(draft.service)} --until shadowing  # parallel run of the reads; strangler diff report
$ strangler run {_shell(draft.service)}                    # ramp the reads
$ strangler cutover {_shell(draft.service)}                # writes move
$ strangler rollback {_shell(draft.service)}               # the way back, at any moment before `complete`
```
"""


def toml_block(draft: Draft) -> str:
    """What strangler.toml lacks for this service."""
    key = (
        draft.service if draft.service.replace("-", "").replace("_", "").isalnum() and draft.service.isascii() else None
    )
    heading = f"[services.{key}]" if key else f"[services.{_toml(draft.service)}]"
    return (
        f"{heading}\n"
        f'database = "postgresql://USER:PASSWORD@HOST:5432/{draft.move}"\n'
        f'url = "http://127.0.0.1:8001"\n'
        f"plan = {_toml(f'{draft.folder}/plan.yaml')}\n"
    )


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shell(text: str) -> str:
    return text if text.replace("-", "").replace("_", "").isalnum() else "'" + text.replace("'", "'\\''") + "'"

"""How to go on from a new plan: what strangler.toml lacks, and the commands in their order. Pure."""

from migration_plans.authoring.draft import Draft


def next_steps(draft: Draft, number: int) -> str:
    """The last part of the checklist."""
    name = draft.package
    return f"""## {number}. Go on

1. Make the service's database, sorted as the monolith's is, on a server of PostgreSQL {draft.schema.version} or
   later{_extensions(draft)}:
   `CREATE DATABASE "{draft.move}" TEMPLATE template0 {draft.schema.locale}`
2. Add to strangler.toml:

```toml
{toml_block(draft)}```

3. Make the tables and start the service (`pip install 'strangler[demo]'` brings what the chassis needs;
   `--down-to base` takes the tables away again):

```console
$ cd {_shell(draft.folder)}
$ DATABASE_URL=… python -m {name}.migrate
$ DATABASE_URL=… uvicorn {name}.app:app --port 8001
```

4. Where strangler.toml lies:

```console
{_explained(draft)}
```
"""


def _extensions(draft: Draft) -> str:
    """What the migration asks for and only a server's owner can install."""
    names = [f"`{name}`" for name in draft.ddl.extensions]
    return f" that has the extension{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _explained(draft: Draft) -> str:
    service = _shell(draft.service)
    steps = {
        f"plan check {service}": "until nothing is left",
        f"plan accept {service}": "what was altered meanwhile is known to `plan diff`",
        "up": "proxy, gate and stream",
        f"run {service} --until following": "copy, stream, full verification",
        f"run {service} --until shadowing": "parallel run of the reads; then `strangler diff report`",
        f"run {service}": "ramp the reads",
        f"cutover {service}": "writes move",
        f"rollback {service}": "the way back, at any moment before `complete`",
        f"complete {service}": "ends the copy, and with it the way back",
    }
    width = max(map(len, steps))
    return "\n".join(f"$ strangler {step.ljust(width)}  # {what}" for step, what in steps.items())


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

"""The service's Python package on `extracted.chassis`: a migration, an application, a handler for each route. Pure.

Endpoints answer 501 until they are written, and say what to write.
"""

from collections.abc import Mapping
from textwrap import wrap
from urllib.parse import unquote

from migration_plans.authoring.draft import Draft, Route
from migration_plans.authoring.names import function_name, parameters
from migration_plans.authoring.python_text import doc, literal, tuple_of
from migration_plans.authoring.todo import some


def package_files(draft: Draft) -> Mapping[str, str]:
    """Path inside the plan's folder → text."""
    package = draft.package
    texts = {
        "__init__.py": f"{doc(f'The {draft.service} service, begun by `strangler plan new`.')}\n",
        "app.py": _app(draft),
        "routes.py": _routes(draft),
        "migrate.py": _migrate(draft),
        "migrations/__init__.py": '"""The service\'s Alembic history."""\n',
        "migrations/env.py": _ENV,
        "migrations/versions/__init__.py": '"""One file a revision."""\n',
        f"migrations/versions/0001_{package}.py": _migration(draft),
        **({"migrations/versions/0002_events.py": _EVENTS} if draft.tells_events else {}),
    }
    return {f"{package}/{path}": text for path, text in texts.items()}


_TEXT_WIDTH = 100
_ENV = '''"""Alembic runs this file for every command."""

from extracted.chassis.migration import run_in_environment

run_in_environment()
'''

_APP = """{head}

from extracted.chassis.application import create_service

from {package}.routes import router

app = create_service({service}, router)
"""

_MIGRATE = '''"""`python -m {package}.migrate [--down-to REVISION]`: the service's schema at `DATABASE_URL`."""

import argparse

from extracted.chassis.migration import downgrade, upgrade
from extracted.chassis.settings import load_settings

PACKAGE = "{package}"


def main() -> None:
    """Up to the newest revision, or down to a named one."""
    parser = argparse.ArgumentParser(prog="python -m {package}.migrate", description=__doc__)
    parser.add_argument(
        "--down-to", metavar="REVISION", help="take the schema back to this revision (base: to nothing)"
    )
    arguments = parser.parse_args()
    database_url = load_settings().database_url
    if arguments.down_to:
        downgrade(PACKAGE, database_url, arguments.down_to)
    else:
        upgrade(PACKAGE, database_url)


if __name__ == "__main__":
    main()
'''

_MIGRATION = """{head}

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

{up}
{down}

def upgrade() -> None:
    _execute(_UP)


def downgrade() -> None:
    _execute(_DOWN)


def _execute(statements: tuple[str, ...]) -> None:
    for statement in statements:
        # A colon would begin a parameter.
        op.execute(statement.replace(":", r"\\:"))
"""

_EVENTS = '''"""Outbox and inbox: what the service tells and what it has heard, for sagas and cut keys."""

from alembic import op
from extracted.chassis import inbox, outbox

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (*outbox.CREATE, *inbox.CREATE):
        op.execute(statement)


def downgrade() -> None:
    for statement in (*inbox.DROP, *outbox.DROP):
        op.execute(statement)
'''

_ROUTES_HEAD = """{head}

{unwritten}from fastapi import APIRouter{request}
{response}
router = APIRouter()
"""

_UNWRITTEN = """from extracted.chassis.unwritten import Unwritten
"""

_HANDLER = """

@unwritten(
    {method},
    {path},
    {todo},
)
async def {name}({parameters}) -> Response:
    {doc}
    raise NotImplementedError
"""


def _app(draft: Draft) -> str:
    head = doc(
        f"The {draft.service} service for an ASGI server: `uvicorn {draft.package}.app:app`. Needs `DATABASE_URL`."
    )
    return _APP.format(head=head, package=draft.package, service=literal(draft.service))


def _migrate(draft: Draft) -> str:
    return _MIGRATE.format(package=draft.package)


def _migration(draft: Draft) -> str:
    tables = ", ".join(table.name for table in draft.schema.tables)
    head = doc(f"The tables as they are in the monolith: {tables}.")
    return _MIGRATION.format(head=head, up=tuple_of("_UP", draft.ddl.up), down=tuple_of("_DOWN", draft.ddl.down))


def _routes(draft: Draft) -> str:
    if not draft.routes:
        head = doc("The endpoints that move: none is known yet.")
        return _ROUTES_HEAD.format(head=head, request="", response="", unwritten="")
    head = doc(
        "The endpoints that move. To write one, put `@router.get(path)` or the like in the place of `@unwritten(…)`."
    )
    text = _ROUTES_HEAD.format(
        head=head, request=", Request", response="from fastapi.responses import Response\n", unwritten=_UNWRITTEN
    )
    text += "unwritten = Unwritten(router)\n"
    # The first that matches answers: `/stock/low` before `/stock/{id}`.
    routes = sorted(draft.routes, key=lambda route: route.path.replace("{", "~"))
    return text + "".join(_handler(route, draft.ambient) for route in routes)


def _handler(route: Route, ambient: tuple[str, ...]) -> str:
    return _HANDLER.format(
        method=literal(route.method),
        path=literal(unquote(route.asked_path)),
        name=function_name(route.id),
        parameters=", ".join(["request: Request", *(f"{name}: str" for name in parameters(route.path))]),
        doc=doc(f"{route.method} {route.asked_path}, {route.footprint.seen}."),
        todo="\n    ".join(map(literal, _wrapped(todo_of(route, ambient) or "no table was seen"))),
    )


def _wrapped(text: str) -> list[str]:
    """Strings that Python joins."""
    lines = wrap(text, _TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)
    return [*(f"{line} " for line in lines[:-1]), *lines[-1:]]


def todo_of(route: Route, ambient: tuple[str, ...] = ()) -> str:
    """What its handler has to do, in short; not what all have to."""
    footprint = route.footprint
    needed = [table for table in footprint.reads_elsewhere if table not in ambient]
    parts = [
        f"reads {some(footprint.reads)}" if footprint.reads else "",
        f"writes {some(footprint.writes)}" if footprint.writes else "",
        f"reads {some(needed)} of the monolith" if needed else "",
        f"writes {some(footprint.writes_elsewhere)} of the monolith" if footprint.writes_elsewhere else "",
    ]
    return "; ".join(part for part in parts if part)

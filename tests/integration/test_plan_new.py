"""`strangler plan new` against a real server: what it writes makes the same tables, and takes them away again."""

import ast
import importlib
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from cli import strangler
from extracted.chassis.migration import downgrade, upgrade
from migration_plans.authoring.catalog_reader import read_schema
from migration_plans.errors import PlanNotAuthored, SourceUnreadable
from migration_plans.plan_file import load_plan
from sandbox.postgres import create_database
from sandbox.postgres_binaries import find_binaries

ODD = (Path(__file__).parent.parent / "data" / "authoring.sql").read_text()
MOVED = ["shop.customer", "Odd Schema.order", "Odd Schema.line;--", "shop.event", "shop.log"]
STAYS = {
    "TABLE region",
    "CONSTRAINT region region_pkey",
    "TABLE counters",
    "CONSTRAINT counters counters_pkey",
    "FUNCTION counted()",
    "TABLE invoice",
    "CONSTRAINT invoice invoice_pkey",
    "FK CONSTRAINT invoice invoice_customer_id_fkey",
    "FK CONSTRAINT customer customer_region_code_fkey",
    "VIEW customers_by_region",
    "VIEW plain_customers",
    "FUNCTION touched()",
    "TRIGGER customer customer_touched",
    "FUNCTION customer_count()",
    "FUNCTION wipe()",
    "RULE log log_never",
    "ROW SECURITY log",
    "POLICY log log_all",
}
_ENTRY = re.compile(r"^--\n-- Name: (?P<name>.*?); Type: (?P<type>.*?); Schema: (?P<schema>.*?); Owner: .*\n--\n", re.M)


@pytest.fixture(scope="module")
def odd_database(postgres_url: str) -> str:
    url = create_database(postgres_url, f"odd_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ODD)
    return url


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Runs the command in an empty folder; gives the folder that it wrote. Its package can be imported."""
    monkeypatch.chdir(tmp_path)

    def run(service: str, *options: str) -> Path:
        result = CliRunner().invoke(strangler, ["plan", "new", service, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return tmp_path / "out" if "--out" in options else tmp_path / service

    monkeypatch.syspath_prepend(str(tmp_path))
    yield run


def dumped(url: str) -> dict[tuple[str, str, str], str]:
    """What pg_dump says of each object. (schema, type, name) → its statements."""
    done = subprocess.run(
        [find_binaries().folder / "pg_dump", "--schema-only", "--no-owner", "--no-privileges", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    text = re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.M)
    starts = [*_ENTRY.finditer(text)]
    ends = [*(entry.start() for entry in starts[1:]), text.index("\n--\n-- PostgreSQL database dump complete")]
    return {
        (entry["schema"], entry["type"], entry["name"]): re.sub(
            r"^SET default_.*;\n", "", text[entry.end() : end], flags=re.M
        ).strip()
        for entry, end in zip(starts, ends, strict=True)
        if "alembic_version" not in entry["name"]
    }


def test_the_migration_makes_what_the_legacy_database_has_and_takes_it_away(odd_database, new_database, author):
    folder = author("customers", "--source", odd_database, "--tables", ",".join(MOVED), "--out", "out")
    service = new_database("customers")
    package = "out.customers_service"
    upgrade(package, service)
    legacy, made = dumped(odd_database), dumped(service)
    # The one thing that differs: a default that calls a function which writes a table that stays.
    customer = ("shop", "TABLE", "customer")
    legacy[customer] = legacy[customer].replace(
        "counted integer DEFAULT shop.counted() NOT NULL", "counted integer NOT NULL"
    )
    identity = ("shop", "TABLE", "log")
    made[identity] = made[identity].replace("ALTER TABLE ONLY shop.log REPLICA IDENTITY FULL;", "").strip()
    assert made == {key: text for key, text in legacy.items() if key in made}
    assert {f"{kind} {name}" for _, kind, name in legacy.keys() - made.keys()} == STAYS
    downgrade(package, service, "base")
    assert {key for key in dumped(service) if key[1] not in ("EXTENSION", "COMMENT")} == {("-", "SCHEMA", "extensions")}
    upgrade(package, service)
    assert dumped(service).keys() == made.keys()
    assert folder.is_dir()

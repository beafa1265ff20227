"""The move: a database from the generated migration, copy and stream under traffic, verification, the way back."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from examples.django_oscar.audit import changes, differing
from examples.django_oscar.decide import HAND
from examples.django_oscar.shop_stack import Shop
from examples.django_oscar.toolkit import TOP, Toolkit
from sandbox.apps import uvicorn_program
from sandbox.postgres import create_database, start_postgres
from sandbox.probes import http_probe
from sandbox.programs import ProgramSpec
from strangler.errors import PromiseBroken

SERVICE = "catalogue"
PACKAGE = "catalogue_service"
_VERIFICATIONS = 3
_ENOUGH: dict[str, int] = {"inserted": 10, "updated": 20, "deleted": 2}
"""Row changes in the moved tables, from the copy's begin on, below which the verifications would prove little."""
_CHANGES_S = 600.0
_PAUSE_S = 5.0
_ERRANDS = "browse,look_around,fill_basket,buy,buy_in_browser,manage_goods,manage_stock,review,wish,run_the_catalogue"
"""Those that touch goods; the others were only of use to tell where to cut."""
_SETTINGS = """\
[legacy]
database = "{legacy_database}"
url = "{legacy_url}"

[services.{service}]
database = "{service_database}"
url = "http://127.0.0.1:{service_port}"
plan = "{service}/plan.yaml"
rules = "rules.yaml"

[router]
listen = "127.0.0.1:{listen_port}"
admin = "127.0.0.1:{admin_port}"
gate = "127.0.0.1:{gate_port}"
inspect = "127.0.0.1:{inspect_port}"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moving:
    """A plan that a person has been through, and all that runs for it."""

    shop: Shop
    toolkit: Toolkit
    database: str
    front: str
    tables: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return self.toolkit.folder / SERVICE


def prepare(shop: Shop, toolkit: Toolkit, tables: tuple[str, ...]) -> Moving:
    """A database for the service, migrated up, down and up again; strangler.toml; the service's skeleton, running."""
    names = ("service_port", "listen_port", "admin_port", "gate_port", "inspect_port")
    ports = dict(zip(names, shop.stack.reserve_ports(len(names)), strict=True))
    database = create_database(start_postgres(shop.stack, "service-db"), SERVICE)
    text = _SETTINGS.format(
        service=SERVICE, legacy_database=shop.database, legacy_url=shop.url, service_database=database, **ports
    )
    (toolkit.folder / "strangler.toml").write_text(text)
    shutil.copy(HAND / "rules.yaml", toolkit.folder)
    front = f"http://127.0.0.1:{ports['listen_port']}"
    moving = Moving(shop=shop, toolkit=toolkit, database=database, front=front, tables=tables)
    environment = _environment(moving)
    for arguments in ([], ["--down-to", "base"], []):
        _migrate(moving, arguments, environment)
    shop.stack.run(
        uvicorn_program(SERVICE, f"{PACKAGE}.app:app", ports["service_port"], env=environment, cwd=moving.folder)
    )
    return moving


def follow(moving: Moving) -> dict[str, Any]:
    """Copy, stream, compare reads and let the service answer them, while people use the shop through Envoy.

    Verified again and again meanwhile, once afterwards, and without the toolkit. Raises `PromiseBroken` when a request
    failed, an answer or a row differs.
    """
    shop, toolkit = moving.shop, moving.toolkit
    toolkit.run("plan", "accept", SERVICE)
    up = ProgramSpec(
        name="up",
        argv=tuple(toolkit.command("up", SERVICE)),
        env={"PYTHONPATH": str(TOP)},
        cwd=toolkit.folder,
        stop_seconds=60,
        ready=http_probe(f"{moving.front}/healthz"),
    )
    shop.stack.run(up, timeout_s=120)
    before = changes(shop.database, moving.tables)
    record = toolkit.folder / "traffic.jsonl"
    with _visited(moving, record):
        toolkit.run("run", SERVICE, "--until", "following")
        verdicts = [toolkit.read("verify", SERVICE)]
        until = time.monotonic() + _CHANGES_S
        while len(verdicts) < _VERIFICATIONS or not _is_enough(made := _since(before, moving)):
            if time.monotonic() > until:
                raise PromiseBroken(thing="traffic", reason=f"changed only {made}", mend="look at traffic.jsonl")
            time.sleep(_PAUSE_S)
            verdicts.append(toolkit.read("verify", SERVICE))
        lag = toolkit.read("cdc", "lag", SERVICE)
        toolkit.run("run", SERVICE, "--until", "shadowing")
        toolkit.run("run", SERVICE, "--until", "reads_ramping")
        answered = httpx.get(f"{moving.front}/api/options/", headers={"x-client": "c1"}, trust_env=False)
        if answered.headers.get("x-strangler-side") != "service":
            raise PromiseBroken(thing="GET /api/options/", reason="the monolith answered", mend="read the transcript")
        compared = toolkit.read("diff", "report", SERVICE)
        verdicts.append(toolkit.read("verify", SERVICE))
    made = _since(before, moving)
    verdicts.append(toolkit.read("verify", SERVICE))
    unequal = [verdict for verdict in verdicts if not verdict["equal"]]
    if unequal:
        raise PromiseBroken(thing="strangler verify", reason=json.dumps(unequal)[:1000], mend="look at the rows named")
    differences = differing(shop.database, moving.database, moving.tables)
    if differences:
        raise PromiseBroken(thing="independent audit", reason="; ".join(differences), mend="look at these tables")
    toolkit.run("plan", "diff", SERVICE)
    # Endpoints that were recorded and that the plan leaves behind: a person reads them, and they are no failure here.
    left = toolkit.read("plan", "diff", SERVICE, "--facts", "facts.json")
    return {
        "changed_under_way": made,
        "verdicts": verdicts,
        "lag": lag,
        "compared": compared,
        "left_behind": left,
        "traffic": _summary(record),
    }


def go_back(moving: Moving) -> None:
    """Reads return to the monolith, then all that was prepared is dropped: the shop is as if nothing had been."""
    moving.toolkit.run("rollback", SERVICE)
    moving.toolkit.run("rollback", SERVICE)
    phase = moving.toolkit.read("status", SERVICE)["phase"]
    if phase != "planned":
        raise PromiseBroken(thing="strangler rollback", reason=f"left the move {phase}", mend="read the transcript")
    moving.shop.stack.stop("up")


@contextlib.contextmanager
def _visited(moving: Moving, record: Path) -> Iterator[None]:
    """People use the shop meanwhile; when they have gone, none of their requests may have failed.

    Some only look at goods, in a record of their own: their requests are those that the parallel run compares.
    """
    stack, looking = moving.shop.stack, record.with_name("looking.jsonl")
    moving.shop.start_clients("clients", moving.front, record, clients=3, seed=11, errands=_ERRANDS)
    moving.shop.start_clients("lookers", moving.front, looking, clients=2, seed=12, errands="browse")
    try:
        yield
    finally:
        for name in ("clients", "lookers"):
            stack.stop(name)
    for each in (record, looking):
        failed = _summary(each)["failed"]
        if failed:
            raise PromiseBroken(thing="the clients' requests", reason=json.dumps(failed)[:1000], mend=f"read {each}")


def _summary(record: Path) -> dict[str, Any]:
    """The clients' last line; they write it when they are told to go home."""
    last: dict[str, Any] = json.loads(record.read_text().splitlines()[-1])
    if last.get("type") != "summary":
        raise PromiseBroken(thing=str(record), reason="the clients did not end in order", mend="read their log")
    return last


def _since(before: Any, moving: Moving) -> dict[str, int]:
    now = changes(moving.shop.database, moving.tables)
    return {kind: now[kind] - before[kind] for kind in now}


def _is_enough(made: dict[str, int]) -> bool:
    return all(made[kind] >= least for kind, least in _ENOUGH.items())


def _environment(moving: Moving) -> dict[str, str]:
    """Of the service: its database, and where its package and the chassis are."""
    return {"DATABASE_URL": moving.database, "PYTHONPATH": os.pathsep.join((str(TOP), str(moving.folder)))}


def _migrate(moving: Moving, arguments: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"{PACKAGE}.migrate", *arguments],
        cwd=moving.folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise PromiseBroken(
            thing=f"python -m {PACKAGE}.migrate {' '.join(arguments)}",
            reason=done.stderr.strip()[-1500:],
            mend="the generated migration does not run: see the message",
        )

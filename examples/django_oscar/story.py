"""The story in order: record, gather, assess, plan, decide, move, verify."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from examples.django_oscar.decide import decide, write_handlers
from examples.django_oscar.likeness import likeness, told
from examples.django_oscar.moving import PACKAGE, SERVICE, Moving, follow, go_back, prepare
from examples.django_oscar.shop_stack import HERE, Shop, start_shop, wait_for_port
from examples.django_oscar.toolkit import Toolkit
from sandbox.supervision import Stack


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What is asked for. `out` is emptied."""

    out: Path
    products: int
    rounds: int
    seed: int
    say: Callable[[str], None]


def tell(story: Story, stack: Stack, *, until: Literal["assessed", "planned", "verified"]) -> None:
    """All of it, or up to a stage. Raises `PromiseBroken` when something did not hold."""
    shutil.rmtree(story.out, ignore_errors=True)
    story.out.mkdir(parents=True)
    toolkit = Toolkit(folder=story.out, transcript=story.out / "transcript.txt")
    shop = start_shop(stack, products=story.products, seed=story.seed, say=story.say)
    (story.out / "apps.json").write_text(json.dumps(shop.apps, indent=1, sort_keys=True))
    _record(story, shop, toolkit)
    _assess(story, shop, toolkit)
    if until == "assessed":
        return
    moving = _plan(story, shop, toolkit)
    if until == "planned":
        return
    _move(story, moving)


def _record(story: Story, shop: Shop, toolkit: Toolkit) -> None:
    """The shop is a black box: a proxy before it lets one request through at a time, and marks each in the log."""
    story.say("recording: four clients go on every errand, through `strangler gather record`")
    shop.log_statements(on=True)
    (port,) = shop.stack.reserve_ports(1)
    listen = f"127.0.0.1:{port}"
    words = ["gather", "record", "--upstream", shop.url, "--listen", listen, "--out", "run.jsonl"]
    words += ["--one-at-a-time", "--source", shop.database]
    with (story.out / "record.txt").open("w") as said:
        recorder = subprocess.Popen(
            toolkit.command(*words), cwd=story.out, env=toolkit.environment(), stdout=said, stderr=said
        )
        try:
            wait_for_port(port)
            shop.visit(f"http://{listen}", story.out / "clients.jsonl", clients=4, rounds=story.rounds, seed=story.seed)
        finally:
            recorder.send_signal(signal.SIGTERM)
            recorder.wait(60)
    shop.log_statements(on=False)


def _assess(story: Story, shop: Shop, toolkit: Toolkit) -> None:
    story.say("gathering facts from schema, log and record; assessing")
    log = story.out / "postgresql.json"
    shutil.copy(shop.log, log)
    toolkit.run(
        "gather",
        "facts",
        "--source",
        shop.database,
        "--log",
        str(log),
        "--requests",
        "run.jsonl",
        "--out",
        "facts.json",
    )
    assessment = toolkit.run("assess", "--facts", "facts.json", "--json", "--html", "assessment.html")
    (story.out / "assessment.json").write_text(assessment)
    for name, tables in json.loads(assessment)["services"].items():
        story.say(f"  {name}: {', '.join(tables)}")
    proposed = json.loads(assessment)
    story.say(f"against the apps of Oscar and Django: {told(likeness(proposed['services'], shop.apps))}")
    used = {table for tables in proposed["services"].values() for table in tables} - _unused(story.out / "facts.json")
    seen = {table: app for table, app in shop.apps.items() if table in used}
    story.say(f"the {len(seen)} tables that were used: {told(likeness(proposed['services'], seen))}")
    for other in proposed["alternatives"]:
        story.say(f"  {len(other['services'])} services instead: {told(likeness(other['services'], shop.apps))}")


def _unused(facts: Path) -> set[str]:
    """Tables that the schema has and no statement named."""
    document = json.loads(facts.read_text())
    tables: set[str] = set(document["tables"])
    done = (access for one in document["functionalities"].values() for way in one["transactions"] for access in way)
    return tables - {table for table, _ in done}


def _plan(story: Story, shop: Shop, toolkit: Toolkit) -> Moving:
    shutil.copy(HERE / "boundaries.yaml", story.out)
    story.say("a person decided the cut (boundaries.yaml); `strangler plan new` writes the plan of its first service")
    words = ["--facts", "facts.json", "--source", shop.database, "--out", SERVICE, "--sticky", "header:x-client"]
    written = toolkit.read("plan", "new", SERVICE, *words)
    story.say(f"  {len(written['tables'])} tables, {len(written['routes'])} routes, {len(written['files'])} files")
    for one in written["blocking"]:
        story.say(f"  blocking: {one}")
    for decision in decide(story.out / SERVICE / "plan.yaml"):
        story.say(f"  decided: {decision}")
    for path in write_handlers(story.out / SERVICE / PACKAGE):
        story.say(f"  written by hand: GET {path}")
    story.say("the generated migration goes up, down and up again; the service's skeleton starts")
    moving = prepare(shop, toolkit, tuple(written["tables"]))
    toolkit.run("plan", "check", SERVICE)
    return moving


def _move(story: Story, moving: Moving) -> None:
    story.say("copy and stream, parallel run and ramp of reads, while people use the shop through Envoy")
    seen = follow(moving)
    (story.out / "moved.json").write_text(json.dumps(seen, indent=1))
    made, verdicts = seen["changed_under_way"], seen["verdicts"]
    story.say(f"  meanwhile {made['inserted']} rows inserted, {made['updated']} updated, {made['deleted']} deleted")
    story.say(f"  {len(verdicts)} verifications, all equal; {verdicts[-1]['rows']} rows; the audit agrees")
    compared = seen["compared"]
    story.say(
        f"  {compared['compared']} answers compared, {compared['matched']} equal; then the service gave all of them"
    )
    story.say("and back: `strangler rollback`")
    go_back(moving)

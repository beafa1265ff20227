"""`strangler gather record`: stand before a monolith and write down which request ran when."""

import re
from collections import Counter
from pathlib import Path

import click

from commands.output import json_option, print_facts, print_json, stderr
from commands.recording import check_addresses, check_logging, record_with_envoy, record_with_mitmproxy, resolved
from migration_plans.gather.paths import Templates
from migration_plans.gather.requests import requests_in
from router.learning.errors import BadRecording
from router.learning.record_file import prepare_record
from router.learning.settings import DEFAULT_CA, RecordSettings

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{text!r} is no duration: write 90s, 10m or 1h")
    return float(match[1]) * _UNITS[match[2]]


@click.command("record")
@click.option("--upstream", required=True, help="Base URL at which the monolith answers.")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to send the clients to.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The record, JSON lines.")
@click.option("--append", "appends", is_flag=True, help="Go on with a record that was begun before.")
@click.option(
    "--for",
    "for_s",
    type=_duration,
    metavar="DURATION",
    help="End after this time: 90s, 10m, 1h.",
)
@click.option("--trace/--no-trace", default=True, show_default=True, help="Give requests without one a traceparent.")
@click.option(
    "--trusted-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Certificates that an https monolith is checked against; default: those of the machine.",
)
@click.option("--bodies", is_flag=True, help="Record bodies, too, so that the run can be replayed: personal data!")
@click.option(
    "--one-at-a-time", is_flag=True, help="Let each request wait for the one before: exact, under light load."
)
@click.option("--source", help="URL of its database: are statements logged? Turns are marked in that log.")
@click.option(
    "--engine",
    type=click.Choice(["envoy", "mitmproxy"]),
    help="Default: envoy, for any load; mitmproxy where bodies or turns are asked for.",
)
@json_option
def record_command(
    upstream: str,
    listen: str,
    out: Path,
    appends: bool,
    for_s: float | None,
    trace: bool,
    trusted_ca: Path | None,
    bodies: bool,
    one_at_a_time: bool,
    source: str | None,
    engine: str | None,
    as_json: bool,
) -> None:
    """Record a monolith's traffic: a proxy passes everything on unchanged and notes each request's endpoint and times.

    Log the database's statements meanwhile (docs/gathering-facts.md); `gather facts` then joins the two.

    \b
    Example: strangler gather record --upstream http://127.0.0.1:8000 --out run.jsonl --for 10m
    """
    settings = RecordSettings(
        upstream=upstream,
        out=out,
        listen=resolved(listen),
        gives_traces=trace,
        trusted_ca=str((trusted_ca or DEFAULT_CA).resolve()),
    )
    needs = [name for name, given in (("--bodies", bodies), ("--one-at-a-time", one_at_a_time)) if given]
    if engine == "envoy" and needs:
        raise BadRecording(
            thing=needs[0], reason="is nothing that Envoy can do", mend="leave --engine out, or say --engine mitmproxy"
        )
    if source is not None:
        check_logging(source)
    engine = engine or ("mitmproxy" if needs else "envoy")
    check_addresses(settings)
    begin, cut = prepare_record(out, appends=appends)
    if cut:
        stderr.print(f"{out}: {cut} bytes of a last line that was not whole were cut off", markup=False)
    if engine == "envoy":
        record_with_envoy(settings, for_s)
    else:
        record_with_mitmproxy(settings, for_s, bodies=bodies, one_at_a_time=one_at_a_time, source=source)
    _print_seen(out, begin, can_be_replayed=bodies, as_json=as_json)


def _print_seen(out: Path, begin: int, *, can_be_replayed: bool, as_json: bool) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    operations: set[tuple[str, str]] = set()
    failed = 0
    with out.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        lines.seek(begin)
        for one in requests_in(lines, thing=str(out), torn=lambda text: stderr.print(text, markup=False)):
            asked[one.method, one.path] += 1
            if one.template is not None:
                operations.add((one.method, one.template))
            failed += one.status >= 400
    templates = Templates()
    templates.learn(asked)
    plain = {templates.endpoint(method, path) for method, path in asked}
    named = {templates.endpoint(method, template) for method, template in operations}
    # A path that serves several operations is none of its own.
    seen = {"requests": asked.total(), "endpoints": len(plain - named) + len(operations), "refused": failed}
    if as_json:
        print_json(seen | {"out": str(out)})
        return
    print_facts(seen)
    if not asked:
        stderr.print("nothing was recorded: the clients were not sent here")
        return
    _say_next(f"strangler gather facts --requests {out} --log SERVER_LOG --source URL --out facts.json")
    if can_be_replayed:
        _say_next(
            f"strangler gather replay --requests {out} --url URL_OF_A_COPY --source ITS_DATABASE --out replayed.jsonl"
        )


def _say_next(command: str) -> None:
    stderr.print(f"next: {command}", markup=False, soft_wrap=True)

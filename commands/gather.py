"""`strangler gather`: facts about a monolith from what there is of it."""

import secrets
from pathlib import Path

import click

from commands.gather_record import record_command
from commands.output import json_option, print_facts, print_json, stderr
from migration_plans.gather.gathering import GatherSettings, gather
from migration_plans.gather.plays import plays_of
from migration_plans.gather.replay import ReplaySettings, replay
from migration_plans.gather.server_log import DEFAULT_PREFIX
from strangler.durable_files import replace_file
from strangler.errors import BadInput

_FILES = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group("gather")
def gather_group() -> None:
    """Gather facts for `strangler assess`: from schema, statements, requests and code."""


gather_group.add_command(record_command)


@gather_group.command("facts")
@click.option("--source", help="URL of the monolith's database; read only, and never its rows but to prove keys.")
@click.option("--log", "logs", type=_FILES, multiple=True, help="PostgreSQL log: csvlog, jsonlog or stderr.")
@click.option("--log-prefix", default=DEFAULT_PREFIX, show_default=True, help="log_line_prefix, for stderr logs.")
@click.option("--log-timezone", help="log_timezone of the server; default: asked of --source, else UTC.")
@click.option("--log-database", help="Only entries of this database; default: that of --source.")
@click.option("--requests", type=_FILES, multiple=True, help="Recorded requests: HAR, or JSON lines.")
@click.option("--code", type=_FOLDER, multiple=True, help="Folder of Python code; read, never run.")
@click.option("--dialect", type=click.Choice(["postgres", "mysql"]), default="postgres", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The facts document.")
@json_option
def facts_command(
    source: str | None,
    logs: tuple[Path, ...],
    log_prefix: str,
    log_timezone: str | None,
    log_database: str | None,
    requests: tuple[Path, ...],
    code: tuple[Path, ...],
    dialect: str,
    out: Path,
    as_json: bool,
) -> None:
    """Merge all that is given into one facts document.

    \b
    Example: strangler gather facts --source postgresql://… --log postgresql.csv --requests run.jsonl --out facts.json
    """
    settings = GatherSettings(
        source=source,
        logs=logs,
        log_prefix=log_prefix,
        log_timezone=log_timezone,
        log_database=log_database,
        requests=requests,
        code=code,
        dialect="mysql" if dialect == "mysql" else "postgres",
    )
    document = gather(settings, say=stderr.print)
    replace_file(out, document.as_json() + "\n")
    gathered = document.gathering
    by_evidence: dict[str, int] = {}
    for one in document.functionalities.values():
        by_evidence[one.evidence] = by_evidence.get(one.evidence, 0) + 1
    summary = {
        "tables": len(document.tables or {}),
        "foreign_keys": sum(not key.inferred for key in document.foreign_keys),
        "inferred_keys": sum(key.inferred for key in document.foreign_keys),
        "functionalities": len(document.functionalities),
        **{f"by {evidence}": count for evidence, count in sorted(by_evidence.items())},
        "not_understood": len(gathered.not_understood),
        "ambiguous_transactions": gathered.ambiguous_transactions,
    }
    if as_json:
        print_json(summary | {"out": str(out)})
    else:
        print_facts(summary)
        for notice in gathered.notices:
            stderr.print(notice)
        for problem in gathered.not_understood[:10]:
            stderr.print(f"not understood: {problem.what[:120]} ({problem.why})", markup=False)


@gather_group.command("replay")
@click.option("--requests", type=_FILES, required=True, help='JSON lines {"method", "path", …}, or HAR.')
@click.option("--url", required=True, help="Where the monolith answers: a copy of it, for requests write.")
@click.option("--source", help="URL of its database, to mark requests in its log; else they are told apart by time.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The recorded requests.")
@json_option
def replay_command(requests: Path, url: str, source: str | None, out: Path, as_json: bool) -> None:
    """Play requests one at a time while the server logs statements (log_statement = all).

    \b
    Example: strangler gather replay --requests list.jsonl --url http://127.0.0.1:8000 --source URL --out run.jsonl
    """
    try:
        plays = plays_of(requests.read_text(encoding="utf-8-sig"), thing=str(requests))
    except UnicodeDecodeError as error:
        raise BadInput(thing=str(requests), reason=f"not UTF-8: {error.reason}", mend="save it as UTF-8") from None
    settings = ReplaySettings(base_url=url, out=out, run=secrets.token_hex(4), database=source)
    done = replay(plays, settings, say=lambda text: stderr.print(text, markup=False))
    summary = {"requests": done.requests, "refused": done.refused, "restless": done.restless}
    if as_json:
        print_json(summary | {"out": str(out)})
    else:
        print_facts(summary)

"""`strangler verify`: compare every row of both databases, now."""

import click

from commands.context import Context
from commands.output import RichNarrator, json_option, print_facts, print_json, print_rows, service_argument
from commands.wiring import exclusive_run
from migration_plans.errors import SidesDiffer
from migration_plans.operations.copy import compare
from migration_plans.progress import proof_to_dict


@click.command()
@service_argument
@json_option
@click.pass_obj
def verify(context: Context, service: str | None, as_json: bool) -> None:
    """Compare every row on both sides while they serve; the proof is kept for the cutover's gate.

    \b
    Example: strangler verify catalog --json
    """
    narrator = RichNarrator()
    with exclusive_run(context, service, narrator) as opened:
        proof = compare(opened)
    narrator.close()
    value = proof_to_dict(proof)
    if as_json:
        print_json(value)
    else:
        print_facts({key: item for key, item in value.items() if key != "detail"})
        rows = [
            (table["table"], difference["kind"], difference["key"], difference.get("columns"))
            for table in value["detail"].get("tables", [])
            for difference in table["differences"]
        ]
        if rows:
            print_rows(("table", "kind", "key", "columns"), rows)
    if not proof.equal:
        raise SidesDiffer(
            thing=f"{opened.plan.move} {proof.direction}",
            reason=f"{proof.difference_count} rows differ",
            mend="mend the rows on the side that does not own them, or copy again after `strangler rollback`",
        )

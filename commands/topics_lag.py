"""`strangler cdc lag --bootstrap …`: options that ask about a stream of `strangler cdc consume`."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

import click

from commands.kafka_options import kafka_options, kafka_security_options
from strangler.errors import BadInput

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SECURITY: Final = ("security", "sasl_mechanism", "username", "password", "cafile")
_UNNAMED: Final = "own"
"""What `--name` is when nobody gave one: the topic prefix is the name then, as in `cdc consume`."""


def topics_lag_options(command: _Command) -> _Command:
    """With them `command` itself is not called."""

    @click.option("--bootstrap", metavar="HOST:PORT,…", help="A stream of `cdc consume`: its brokers, with --target.")
    @click.option("--topic-prefix", metavar="NAME", help="Its --topic-prefix.")
    @kafka_security_options
    @wraps(command)
    def with_topics(*args: Any, bootstrap: str | None, topic_prefix: str | None, **given: Any) -> Any:
        security = {name: given.pop(name) for name in _SECURITY}
        if bootstrap is None and topic_prefix is None:
            return command(*args, **given)
        if bootstrap is None or topic_prefix is None or given["target"] is None or given["source"] is not None:
            raise BadInput(
                thing="cdc lag --bootstrap",
                reason="a stream that consumes topics has brokers, a topic prefix and a target, and no source",
                mend="give --bootstrap, --topic-prefix and --target; the last is what `cdc consume` got as --to",
            )
        from commands.topics_report import report

        return report(
            kafka_options(bootstrap, topic_prefix, **security),
            given["target"],
            topic_prefix if given["name"] == _UNNAMED else given["name"],
            interval_s=given["interval"] if given["watch"] else None,
            as_json=given["as_json"],
        )

    return cast(_Command, with_topics)

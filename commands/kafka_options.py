"""How a cluster is reached, as options: for the commands that consume topics, and for those that look at them."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cdc.changelog.kafka.options import KafkaOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SECURITY = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def kafka_security_options(command: _Command) -> _Command:
    """Adds them all; `kafka_options` takes what the command gets."""
    for option in (
        click.option("--cafile", type=click.Path(exists=True, dir_okay=False)),
        click.option("--password", envvar="STRANGLER_KAFKA_PASSWORD", help="Better in STRANGLER_KAFKA_PASSWORD."),
        click.option("--username", metavar="NAME"),
        click.option("--sasl-mechanism", type=click.Choice(_MECHANISMS)),
        click.option("--security", type=click.Choice(_SECURITY), default="PLAINTEXT"),
    ):
        command = option(command)
    return command


def kafka_options(bootstrap: str, topic_prefix: str, **security: Any) -> KafkaOptions:
    """Raises `BadInput` for options that do not go together."""
    return KafkaOptions(bootstrap=bootstrap, prefix=topic_prefix, **security)

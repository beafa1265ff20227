"""What kind of server a URL names. Pure, and knows no driver: a process loads only those of the servers it talks to."""

from typing import Final

MYSQL_SCHEMES: Final = frozenset({"mysql", "mariadb"})


def is_postgresql(dsn: str) -> bool:
    """A libpq URL or `key=value` string: the target's own fast path serves it."""
    scheme, found, _ = dsn.partition("://")
    return not found or scheme in ("postgresql", "postgres")


def is_mysql(dsn: str) -> bool:
    """Whether the URL's scheme is one of `MYSQL_SCHEMES`."""
    scheme, found, _ = dsn.partition("://")
    return bool(found) and scheme.lower() in MYSQL_SCHEMES

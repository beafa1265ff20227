"""Names of tables as plans and facts write them. Pure."""


def plain(name: str) -> str:
    """`public.orders` and `orders` are one table: without `public.`, which is what a name without a schema means."""
    schema, _, table = name.rpartition(".")
    return table if schema == "public" else name

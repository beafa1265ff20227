"""What a stream's publication says about a table: are all its changes sent? A server says nothing when they are not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cdc.connections import CatalogConnection

_PUBLICATION = """
SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AS whole, p.puballtables AS all_tables,
       coalesce((SELECT jsonb_agg(to_jsonb(r)) FROM pg_publication_rel r WHERE r.prpubid = p.oid), '[]') AS tables
  FROM pg_publication p WHERE p.pubname = %s
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """`entries`: rows of `pg_publication_rel` by the table's object id; None when there is no publication."""

    whole: bool
    all_tables: bool
    entries: Mapping[int, Mapping[str, Any]] | None

    def left_out(self, table_oid: int) -> str | None:
        """Why changes of the table are not sent, or not all of them."""
        if self.entries is None:
            return "has lost its publication: its changes are not sent any more"
        if not self.whole:
            return "is published without some of its inserts, updates, deletes or truncates"
        entry = self.entries.get(table_oid)
        if entry is None and not self.all_tables:
            return "was taken out of the publication: its changes are not sent any more"
        if entry is not None and (entry.get("prqual") or entry.get("prattrs")):
            return "is published with a row filter or a column list: not everything is sent any more"
        return None

    def entry(self, table_oid: int) -> int:
        """What a table that was taken out and put in again has a new one of; 0 where there is none."""
        return int((self.entries or {}).get(table_oid, {}).get("oid", 0))


def read_publication(connection: CatalogConnection, name: str) -> Publication:
    """As it is now."""
    found = connection.execute(_PUBLICATION, [name]).fetchone()
    if found is None:
        return Publication(whole=False, all_tables=False, entries=None)
    entries = {int(each["prrelid"]): each for each in found["tables"]}
    return Publication(whole=found["whole"], all_tables=found["all_tables"], entries=entries)

"""Are both sides equal? Checksums computed in both databases, narrowed to rows, proven while the stream runs.

`verify_all` reads everything under load; `verify_keys` re-reads what changed since, in the fence window; both give a
`Verdict`, which expires.
"""

from cdc.verify.changed import ChangedKeys, changed_keys
from cdc.verify.run import verify_all, verify_keys
from cdc.verify.verdict import Difference, TableVerdict, Verdict

__all__ = [
    "ChangedKeys",
    "Difference",
    "TableVerdict",
    "Verdict",
    "changed_keys",
    "verify_all",
    "verify_keys",
]

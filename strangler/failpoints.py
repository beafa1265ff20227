"""Named places where a test, or `strangler demo --break`, may kill the process.

`STRANGLER_FAILPOINT=name` makes `reach(name)` end the process at once with SIGKILL: no cleanup, no flush, exactly
what a crash is. Unset (always, outside tests and the demo) it costs one dictionary look-up.
"""

import os
import signal

VARIABLE = "STRANGLER_FAILPOINT"


def reach(name: str) -> None:
    """Die here if this failpoint is armed."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)

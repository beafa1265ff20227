"""The data plane's access log is a record of requests, as the recorder's own."""

import time

import httpx
import pytest

from migration_plans.gather.requests import requests_of
from router.testing import running_rig

pytestmark = pytest.mark.integration

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_the_access_log_tells_which_request_ran_when():
    with running_rig() as rig, httpx.Client(base_url=rig.url, timeout=60, trust_env=False) as client:
        before = time.time()
        client.get("/a/1?token=geheim", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
        client.post("/b?delay_ms=20")
        after = time.time()
        log = rig.folder / "access.log"
        deadline = time.monotonic() + 60
        while log.read_text().count("\n") < 2:
            assert time.monotonic() < deadline
            # Opening it anew writes what is in memory.
            httpx.post(f"{rig.settings.admin_url}/reopen_logs", trust_env=False).raise_for_status()
            time.sleep(0.1)
        first, second = requests_of(log.read_text().splitlines(True), thing="access.log")
    assert (first.method, first.path, first.status, first.trace) == ("GET", "/a/1", 200, TRACE)
    assert (second.method, second.path, second.trace) == ("POST", "/b", None)
    assert before - 0.01 <= first.start <= first.end <= second.start <= second.end <= after + 0.01
    assert second.end - second.start >= 0.02

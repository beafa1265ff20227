"""What the recorder's end makes of what the proxy says."""

import json

import httpx
import pytest

from commands import recording


@pytest.mark.parametrize(("failed", "lost"), [(0, 0), (3, 3)])
def test_lines_that_could_not_be_written_are_counted(monkeypatch, failed, lost):
    asked = []

    def answer(request):
        asked.append(request.url.path)
        name = request.url.params.get("filter", "")
        value = failed if "write_failed" in name else 0
        return httpx.Response(200, content=json.dumps({"stats": [{"name": name, "value": value}]}))

    made = httpx.Client
    monkeypatch.setattr(
        recording.httpx, "Client", lambda **options: made(transport=httpx.MockTransport(answer), **options)
    )
    assert recording._drain("http://127.0.0.1:1") == lost
    assert asked[0] == "/drain_listeners"

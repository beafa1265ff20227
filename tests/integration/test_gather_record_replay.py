"""A run that was recorded before one black box is played to another that has never met its ids and tokens."""

import json

import httpx
import pytest
from click.testing import CliRunner

from cli import strangler
from tests.integration.recorded_black_box import black_box
from tests.integration.recorded_shop import served
from tests.integration.recording import recording

pytestmark = pytest.mark.integration


def shopping(base_url, email):
    """Returns every secret that went over the wire."""
    with httpx.Client(base_url=base_url, timeout=60, trust_env=False) as client:
        password = f"geheim-{email}"
        token = client.get("/join").text.split('value="')[1].split('"')[0]
        form = {"csrfmiddlewaretoken": token, "email": email, "password": password}
        place = client.post("/join", data=form).headers["location"]
        client.get(place).raise_for_status()
        bearer = client.post("/login", data=form).raise_for_status().json()["token"]
        cart = client.post("/carts").raise_for_status().json()["id"]
        wanted = {"productId": 3, "note": "${x} and hidden"}
        line = client.post(f"/carts/{cart}/lines", json=wanted).raise_for_status().json()["line"]["id"]
        client.delete(f"/carts/{cart}/lines/{line}").raise_for_status()
        order = client.post("/checkout", json={"cart": {"id": cart}}).raise_for_status().json()["id"]
        client.get(f"/orders/{order}", headers={"Authorization": f"Bearer {bearer}"}).raise_for_status()
        return [password, token, bearer, email, client.cookies["sid"]]


def test_a_recorded_run_is_played_to_another_instance(tmp_path):
    out = tmp_path / "run.jsonl"
    with served(black_box(100)) as upstream, recording(upstream, out, "--bodies") as running:
        hidden = shopping(running.url, "a@shop.example") + shopping(running.url, "b@shop.example")
    record = out.read_text()
    assert running.seen == {"requests": 18, "endpoints": 9, "refused": 0, "out": str(out)}
    assert [secret for secret in hidden if secret in record] == []

    replayed = tmp_path / "replayed.jsonl"
    with served(black_box(7000)) as another:
        options = ["--requests", str(out), "--url", another, "--out", str(replayed), "--json"]
        done = CliRunner().invoke(strangler, ["gather", "replay", *options, "--pause", "0"], catch_exceptions=False)
    assert json.loads(done.stdout)["refused"] == 0, done.stderr
    played = [json.loads(line) for line in replayed.read_text().splitlines()]
    assert len(played) == 18
    asked = [f"{line['method']} {line['path']}" for line in played]
    assert asked[7] == "POST /checkout" and asked[8].startswith("GET /orders/70")
    # Which is known to nobody but those who joined: hidden e-mail addresses and passwords do, if they are the same.
    assert "--secrets" in done.stderr

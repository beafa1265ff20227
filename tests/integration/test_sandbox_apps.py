import httpx
import pytest

from sandbox.apps import gunicorn_program, python_program, uvicorn_program
from sandbox.errors import ProgramFailed
from sandbox.supervision import Stack

pytestmark = pytest.mark.integration

WSGI = """
import os, sys
def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [os.environ["GREETING"].encode()]
def make():
    return app
"""
ASGI = """
import os
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": os.environ["GREETING"].encode()})
def make():
    return app
"""
BROKEN = 'raise RuntimeError("the schema is missing")'
WORKER = "import sys, time; print('working for', sys.argv[1]); time.sleep(1000)"
SICK = ASGI.replace('"status": 200', '"status": 503')


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    for name, text in {"wsgi": WSGI, "asgi": ASGI, "broken": BROKEN, "worker": WORKER, "sick": SICK}.items():
        (folder / f"sandboxed_{name}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def stack():
    with Stack() as stack:
        yield stack


@pytest.mark.parametrize("app", ["sandboxed_wsgi:app", "sandboxed_wsgi:make()"])
def test_gunicorn(stack, code, app):
    (port,) = stack.reserve_ports(1)
    name = f"wsgi-{port}"
    stack.run(gunicorn_program(name, app, port, workers=1, threads=2, env={"GREETING": "hello"}, cwd=code))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        answers = [client.get("/any") for _ in range(2)]
    assert [answer.text for answer in answers] == ["hello"] * 2
    assert all("close" not in answer.headers.get("connection", "") for answer in answers)
    stack.kill(name)
    stack.start(name)
    assert stack.log_tail(name) == ""


def test_gunicorn_leaves_nothing_in_the_home_folder(stack, code, tmp_path):
    (port,) = stack.reserve_ports(1)
    home = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "GREETING": "hello"}
    stack.run(gunicorn_program("homely", "sandboxed_wsgi:app", port, workers=1, env=home, cwd=code))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_factory", [False, True])
def test_uvicorn(stack, code, is_factory):
    (port,) = stack.reserve_ports(1)
    app = "sandboxed_asgi:make" if is_factory else "sandboxed_asgi:app"
    name = f"asgi-{port}"
    stack.run(uvicorn_program(name, app, port, env={"GREETING": "hello"}, cwd=code, is_factory=is_factory))
    assert httpx.get(f"http://127.0.0.1:{port}/any").text == "hello"
    stack.restart(name)
    assert httpx.get(f"http://127.0.0.1:{port}/any").text == "hello"


@pytest.mark.parametrize("make", [gunicorn_program, uvicorn_program])
def test_an_app_that_does_not_import_is_named_with_its_traceback(stack, code, make):
    (port,) = stack.reserve_ports(1)
    with pytest.raises(ProgramFailed, match="the schema is missing"):
        stack.run(make("broken", "sandboxed_broken:app", port, cwd=code))


def test_an_app_that_is_not_healthy_is_not_ready(stack, code):
    (port,) = stack.reserve_ports(1)
    program = uvicorn_program("sick", "sandboxed_sick:app", port, env={"GREETING": ""}, cwd=code)
    with pytest.raises(ProgramFailed, match="not ready within"):
        stack.run(program, timeout_s=3)


def test_a_worker_comes_back_when_it_is_killed(stack, code):
    def is_working():
        return "working for catalog" in stack.log_tail("worker")

    stack.add(python_program("worker", "sandboxed_worker", ["catalog"], cwd=code))
    stack.start("worker", ready=is_working)
    first = stack.pid("worker")
    stack.kill("worker")
    stack.wait_ready("worker", ready=is_working)
    assert stack.pid("worker") not in (None, first)

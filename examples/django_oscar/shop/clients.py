"""`python -m shop.clients --url … --record FILE`: several people use the shop at once, seeded, until told to stop.

Each client is a thread that goes on errands (`shop.errands`), one after another. Every exchange is a JSON line of the
record: method, path, start and end in seconds since 1970, status. The last line is a summary. Exit code 1 when a
request failed: no answer, or 5xx.
"""

import argparse
import json
import random
import re
import signal
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import mechanicalsoup
import requests
from requests.adapters import HTTPAdapter

_TIMEOUT_S = 60
_UNEXPECTED = (LookupError, TypeError, ValueError, AttributeError, mechanicalsoup.LinkNotFoundError)


class Record:
    """What was asked and answered, by all clients."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.seen: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def exchange(self, method: str, url: str, start: float, end: float, status: int) -> None:
        """`status` 0: no answer."""
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        entry = {"type": "request", "method": method, "path": path, "start": start, "end": end, "status": status}
        with self._lock:
            self.seen[f"{status // 100}xx"] += 1
            if status == 0 or status >= 500:
                self.failed[f"{method} {parts.path}: {status}"] += 1
            self._file.write(json.dumps(entry) + "\n")

    def trouble(self, errand: str, error: Exception) -> None:
        """An errand met something that it did not expect."""
        with self._lock:
            self.seen[f"{errand}: {type(error).__name__}: {error}"[:160]] += 1

    def close(self) -> None:
        self._file.write(json.dumps({"type": "summary", "seen": self.seen, "failed": self.failed}) + "\n")


class _Recorded(HTTPAdapter):
    def __init__(self, record: Record) -> None:
        super().__init__()
        self._record = record

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        start, status = time.time(), 0
        kwargs["timeout"] = _TIMEOUT_S
        try:
            response = super().send(request, *args, **kwargs)
            _ = response.content
            status = response.status_code
            return response
        finally:
            self._record.exchange(str(request.method), str(request.url), start, time.time(), status)


class Client:
    """One person with a browser (`web`: cookies, forms) and an app (`api`: JSON, a session named in a header)."""

    def __init__(self, url: str, record: Record, dice: random.Random, *, number: int, products: int) -> None:
        self.url, self.dice, self.number, self.products = url.rstrip("/"), dice, number, products
        self._record = record
        self.api = self._session()
        self.web = mechanicalsoup.StatefulBrowser(session=self._session(), soup_config={"features": "lxml"})
        self.realm = urlsplit(url).hostname
        self._sessions = 0

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers["x-client"] = f"c{self.number}"
        session.mount("http://", _Recorded(self._record))
        return session

    def new_session(self) -> None:
        """Forget who one is, in both."""
        self._sessions += 1
        self.api.cookies.clear()
        self.web.session.cookies.clear()
        self.token = f"{self.number}x{self._sessions}x{self.dice.randrange(10**9)}"
        self.api.headers["Session-Id"] = f"SID:ANON:{self.realm}:{self.token}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer of the API, of a list the page that came; None unless it is 2xx."""
        answer = self.api.request(method, f"{self.url}/api/{path}", json=body)
        found = answer.json() if answer.ok and answer.content else None
        return found["results"] if isinstance(found, dict) and "results" in found else found

    def log_in(self, email: str, password: str) -> None:
        """In the app; the anonymous session becomes the customer's."""
        self.call("POST", "login/", {"username": email, "password": password})
        self.api.headers["Session-Id"] = f"SID:AUTH:{self.realm}:{self.token}"

    def product(self) -> int:
        """Some products are much more popular than others."""
        return 1 + min(int(self.dice.expovariate(4 / self.products)), self.products - 1)

    def open(self, path: str) -> Any:
        """A page in the browser; a full URL as well."""
        answer = self.web.open(path if path.startswith("http") else f"{self.url}{path}")
        return answer if answer.ok else None

    def link(self, part: str, *, newest: bool = False) -> str | None:
        """The address of one of the links of the page that contain this, or None; the newest has the largest number."""
        page = self.web.page
        found = sorted({a["href"] for a in page.find_all("a", href=True) if part in a["href"]}) if page else []
        if newest:
            return max(found, key=lambda href: max((int(n) for n in re.findall(r"\d+", href)), default=0), default=None)
        return self.dice.choice(found) if found else None

    def submit(self, action: str, fields: dict[str, Any] | None = None, *, press: str = "") -> Any:
        """Send a form of the page, fields filled in; None when there is none.

        It is the first whose action contains `action` (or leads to the same page, for ''), and that has the control
        `press` (`name=value`), which is then the button pressed, or the choice made.
        """
        name, _, value = press.partition("=")
        wanted = {"name": name, "value": value} if press else {}
        forms = [form for form in self.web.page.find_all("form") if _fits(form, action)]
        forms = [form for form in forms if not press or form.find(["button", "input"], attrs=wanted)]
        if not forms:
            return None
        form = self.web.select_form(forms[0])
        for field, given in (fields or {}).items():
            form.set(field, given, force=True)
        control = forms[0].find(["button", "input"], attrs=wanted) if press else None
        if control is not None and control.get("type") == "radio":
            form.set(name, value)
            control = None
        form.choose_submit(control if control is not None and control.get("type") != "hidden" else None)
        return self.web.submit_selected()


def _fits(form: Any, action: str) -> bool:
    where = form.get("action") or ""
    if form.get("method", "get").lower() != "post" or "setlang" in where or "logout" in where:
        return False
    return action in where if action else where[:1] in ("", ".", "#")


def main() -> None:
    """Until SIGTERM, SIGINT, or the time is over."""
    from shop.errands import ERRANDS

    parser = argparse.ArgumentParser(prog="python -m shop.clients", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two errands of a client, at most")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=0, help="stop when each client has been on every errand as often")
    parser.add_argument("--errands", default="", help="only these, by name, separated by commas")
    options = parser.parse_args()
    errands = [errand for errand in ERRANDS if not options.errands or errand.__name__ in options.errands.split(",")]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def live(number: int) -> None:
        dice = random.Random(options.seed * 1000 + number)
        client = Client(options.url, record, dice, number=number, products=options.products)
        rounds = 0
        while not stop.is_set() and (not options.rounds or rounds < options.rounds):
            rounds += 1
            for errand in dice.sample(errands, len(errands)):
                if stop.is_set():
                    return
                client.new_session()
                try:
                    errand(client)
                except requests.RequestException:
                    pass  # recorded as a failure of the exchange
                except _UNEXPECTED as error:
                    record.trouble(errand.__name__, error)
                    traceback.print_exc()
                stop.wait(dice.uniform(0, options.pause))

    with options.record.open("w", encoding="utf-8", buffering=1) as file:
        record = Record(file)
        threads = [threading.Thread(target=live, args=(n,)) for n in range(options.clients)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + options.seconds
        while any(thread.is_alive() for thread in threads) and time.monotonic() < until and not stop.is_set():
            stop.wait(0.2)
        stop.set()
        for thread in threads:
            thread.join()
        record.close()
    print(json.dumps({"seen": record.seen, "failed": record.failed}, indent=1))
    raise SystemExit(1 if record.failed else 0)


if __name__ == "__main__":
    main()

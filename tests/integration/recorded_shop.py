"""A small Flask shop whose every transaction is known, which tells the database who asks in four ways, or in none."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import psycopg
from flask import Flask, Response, jsonify, redirect, request
from werkzeug.serving import WSGIRequestHandler, make_server

SCHEMA = """
CREATE SCHEMA billing;
CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE "user" (id serial PRIMARY KEY, login text UNIQUE NOT NULL, "select" text);
CREATE TABLE stock (product_id int PRIMARY KEY, amount int NOT NULL);
CREATE TABLE orders (id serial PRIMARY KEY, customer_id int REFERENCES customers, state text NOT NULL DEFAULT 'new');
CREATE TABLE "Order Lines" (order_id int REFERENCES orders, product_id int REFERENCES stock, amount int);
CREATE TABLE billing.invoices (id serial PRIMARY KEY, order_id int, customer_id int, paid boolean DEFAULT false);
INSERT INTO customers (name) SELECT 'c' || n FROM generate_series(1, 50) n;
INSERT INTO stock SELECT n, 1000000 FROM generate_series(1, 50) n;
INSERT INTO "user" (login) SELECT 'u' || n FROM generate_series(1, 50) n;
"""

TRUTH = {
    "POST /orders": {"customers:R stock:R stock:W orders:W Order Lines:W"},
    "GET /orders/{id}": {"orders:R Order Lines:R"},
    # Two transactions: the payment, then the bill.
    "POST /orders/{id}/pay": {"orders:R orders:W", "billing.invoices:W"},
    "GET /customers/{id}/invoices": {"customers:R billing.invoices:R"},
    "PUT /users/{id}": {"user:W"},
}

WAYS = ("comment", "trace", "application", "plain")


def shop(database_url: str, way: str) -> Flask:
    """`way`: how its statements tell of their request. With its own connection for each request."""
    app = Flask(__name__)
    busy = threading.Semaphore(8)

    @contextmanager
    def session() -> Iterator[Callable[..., psycopg.Cursor]]:
        rule = request.url_rule.rule
        name = f"{request.method} {rule}" if way == "application" else "shop"
        comment = ""
        if way == "comment":
            comment = f" /*http_method='{request.method}',route='{quote(rule, safe='')}'*/"
        elif way == "trace":
            comment = f" /*traceparent='{request.headers['traceparent']}'*/"
        with busy, psycopg.connect(database_url, application_name=name) as connection:
            yield lambda sql, *values: connection.execute(sql + comment.replace("%", "%%"), values)

    @app.post("/orders")
    def place() -> tuple[Response, int]:
        wanted = request.get_json(silent=True) or request.form
        with session() as run:
            run("SELECT name FROM customers WHERE id = %s", wanted["customer_id"]).fetchone()
            run("SELECT amount FROM stock WHERE product_id = %s FOR UPDATE", wanted["product_id"])
            run("UPDATE stock SET amount = amount - 1 WHERE product_id = %s", wanted["product_id"])
            (order,) = run(
                "INSERT INTO orders (customer_id) VALUES (%s) RETURNING id", wanted["customer_id"]
            ).fetchone()
            run('INSERT INTO "Order Lines" VALUES (%s, %s, 1)', order, wanted["product_id"])
        return jsonify(id=order), 201

    @app.get("/orders/<int:order_id>")
    def show(order_id: int) -> tuple[Response, int]:
        with session() as run:
            found = run("SELECT state FROM orders WHERE id = %s", order_id).fetchone()
            lines = run('SELECT product_id FROM "Order Lines" WHERE order_id = %s', order_id).fetchall()
        return jsonify(state=found and found[0], lines=lines), 200 if found else 404

    @app.post("/orders/<int:order_id>/pay")
    def pay(order_id: int) -> tuple[Response, int]:
        with session() as run:
            found = run("SELECT customer_id FROM orders WHERE id = %s", order_id).fetchone()
            if found is None:
                return jsonify(error="unknown"), 404
            run("UPDATE orders SET state = 'paid' WHERE id = %s", order_id)
        with session() as run:
            run("INSERT INTO billing.invoices (order_id, customer_id) VALUES (%s, %s)", order_id, found[0])
        return jsonify(paid=order_id), 200

    @app.get("/customers/<int:customer_id>/invoices")
    def invoices(customer_id: int) -> Response:
        with session() as run:
            rows = run(
                "SELECT i.id FROM customers c JOIN billing.invoices i ON i.customer_id = c.id WHERE c.id = %s",
                customer_id,
            ).fetchall()
        return jsonify(rows)

    @app.put("/users/<login>")
    def rename(login: str) -> Response:
        with session() as run:
            run('UPDATE "user" SET "select" = %s WHERE login = %s', "x", login)
        return jsonify(login=login)

    @app.get("/healthz")
    def healthz() -> str:
        with session() as run:
            run("SELECT 1")
        return "fine"

    @app.get("/old")
    def old() -> Response:
        return redirect("/healthz")

    return app


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The base URL, from threads of this process, with keep-alive."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: the tests' output is theirs."""

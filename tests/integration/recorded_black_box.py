"""A shop that hands out cookies, tokens against forgery and ids, and refuses whatever it did not hand out."""

import secrets
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, abort, jsonify, make_response, request


def black_box(first_id: int) -> Flask:
    """Two instances have nothing in common: `first_id` is where their numbers begin."""
    app = Flask(__name__)
    ids = iter(range(first_id, first_id + 10_000))
    forms: set[str] = set()
    people: dict[str, str] = {}
    sessions: dict[str, str] = {}
    bearers: set[str] = set()
    carts: dict[int, list[int]] = {}
    orders: set[int] = set()

    def signed_in(view: Callable[..., Any]) -> Callable[..., Any]:
        def checked(**values: Any) -> Any:
            if request.cookies.get("sid") not in sessions:
                abort(401)
            return view(**values)

        checked.__name__ = view.__name__
        return checked

    @app.get("/join")
    def form() -> str:
        forms.add(token := secrets.token_urlsafe(24))
        return f'<form><input type="hidden" name="csrfmiddlewaretoken" value="{token}"><input name="email"></form>'

    def checked_form() -> Any:
        if request.form["csrfmiddlewaretoken"] not in forms:
            abort(403)
        return request.form

    @app.post("/join")
    def join() -> Response:
        given = checked_form()
        people[given["email"]] = given["password"]
        answer = make_response("", 302)
        answer.headers["Location"] = f"/people/{next(ids)}"
        return answer

    @app.get("/people/<int:person>")
    def person(person: int) -> Response:
        if not first_id <= person < first_id + 10_000:
            abort(404)
        return jsonify(name="somebody")

    @app.post("/login")
    def login() -> Response:
        given = checked_form()
        if people.get(given["email"]) != given["password"]:
            abort(401)
        answer = jsonify(token=(bearer := secrets.token_urlsafe(24)))
        bearers.add(bearer)
        sessions[sid := secrets.token_hex(16)] = given["email"]
        answer.set_cookie("sid", sid)
        return answer

    @app.post("/carts")
    @signed_in
    def open_cart() -> tuple[Response, int]:
        carts[number := next(ids)] = []
        return jsonify(id=number), 201

    @app.post("/carts/<int:cart>/lines")
    @signed_in
    def add(cart: int) -> tuple[Response, int]:
        carts[cart].append(line := next(ids))
        # A product that was there before: no answer named it.
        assert request.json == {"productId": 3, "note": "${x} and hidden"}
        return jsonify(cart={"id": cart}, line={"id": line}), 201

    @app.delete("/carts/<int:cart>/lines/<int:line>")
    @signed_in
    def remove(cart: int, line: int) -> Response:
        carts[cart].remove(line)
        return jsonify({})

    @app.post("/checkout")
    @signed_in
    def checkout() -> tuple[Response, int]:
        if request.json["cart"]["id"] not in carts:
            abort(404)
        orders.add(number := next(ids))
        return jsonify(id=number), 201

    @app.get("/orders/<int:order>")
    def show(order: int) -> Response:
        if order not in orders or request.headers.get("authorization", "").removeprefix("Bearer ") not in bearers:
            abort(404)
        return jsonify(id=order)

    return app

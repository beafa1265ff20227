"""A store on an empty, migrated database, asked through its WSGI door with an httpx client."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import psycopg
import pytest
from flask import Flask

from legacy_monolith.app import create_app
from legacy_monolith.database import database
from legacy_monolith.migrate import migrate
from sandbox.postgres import create_database


@dataclass(frozen=True, kw_only=True)
class Store:
    url: str
    app: Flask
    client: httpx.Client

    def rows(self, query: str, *values: object) -> list[tuple]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *values: object) -> object:
        return self.rows(query, *values)[0][0]


@contextlib.contextmanager
def running_store(url: str) -> Iterator[Store]:
    migrate(url)
    app = create_app(url, pool_size=8)
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://store") as client:
        yield Store(url=url, app=app, client=client)
    with app.app_context():
        database().close()


@pytest.fixture(scope="module")
def store(postgres_url: str) -> Iterator[Store]:
    with running_store(create_database(postgres_url, f"store_{uuid.uuid4().hex[:8]}")) as running:
        yield running

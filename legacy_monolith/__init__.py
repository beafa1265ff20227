"""The reference monolith: a store with one Flask application on one PostgreSQL database.

It stands for somebody's own old system, so it knows nothing of the toolkit and imports nothing of it::

    export DATABASE_URL=postgresql://user@127.0.0.1/store
    python -m legacy_monolith.migrate                             # the schema, by its Alembic history
    python -m legacy_monolith.seed --scale 1.0 --seed 7           # about 115,000 rows in the catalog alone
    gunicorn -c python:legacy_monolith.gunicorn_conf legacy_monolith.wsgi:app
    python -m legacy_monolith.traffic --base-url http://127.0.0.1:8000 --ledger ledger.jsonl --duration 30

The catalog API (`legacy_monolith.catalog`) is held to `tests/contract/catalog_api.py`; the format of the traffic's
ledger is in `legacy_monolith.traffic.ledger`.
"""

"""The catalog service: products, prices and categories in a database of its own.

`domain` is what it is about, `store` keeps it in PostgreSQL, `compat` speaks the monolith's JSON, `routes` join them.
"""

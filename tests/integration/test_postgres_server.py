import psycopg


def test_server_decodes_logically(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)

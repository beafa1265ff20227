"""The sandbox's MariaDB keeps to its own folder."""

import pytest

from sandbox.errors import PartMissing
from sandbox.mariadb import find_server, mariadb_server


def test_it_makes_its_database_without_the_temporary_folder_of_others(monkeypatch, tmp_path):
    try:
        find_server()
    except PartMissing as missing:
        pytest.skip(str(missing))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "of_others_and_gone"))
    with mariadb_server({}) as url:
        assert url.startswith("mysql")

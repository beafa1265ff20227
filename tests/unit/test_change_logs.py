"""Where the change log is: what the settings and docs/kafka.md say."""

import re
from pathlib import Path

import pytest

from cdc.changelog.kafka.log import KafkaChangeLog
from cdc.changelog.local import LocalChangeLog
from cdc.events import TableName
from commands.change_logs import ChangeLogs
from strangler.errors import BadInput
from strangler.settings import load_settings

BASE = """
[legacy]
database = "postgresql://db/store"
url = "http://127.0.0.1:8001"
[services.catalog]
database = "postgresql://db/catalog"
url = "http://127.0.0.1:8002"
plan = "plans/catalog.yaml"
"""
DOCUMENTED = re.search(r"```toml\n(.*?)```", Path("docs/kafka.md").read_text(), re.DOTALL)[1]


def settings_of(tmp_path, text):
    path = tmp_path / "strangler.toml"
    path.write_text(BASE + text)
    return load_settings(path, {"KAFKA_PASSWORD": "hunter2"})


def test_files_unless_told_otherwise(tmp_path):
    logs = ChangeLogs(settings_of(tmp_path, ""))
    (tmp_path / ".strangler/moves/catalog/log/forward").mkdir(parents=True)
    assert isinstance(logs.to_read("catalog", "forward"), LocalChangeLog)


def test_what_the_documentation_shows_is_accepted_and_used(tmp_path):
    settings = settings_of(tmp_path, DOCUMENTED)
    logs = ChangeLogs(settings)
    options = logs.kafka_options("catalog", "reverse")
    assert isinstance(logs.to_read("catalog", "reverse"), KafkaChangeLog)
    assert (options.prefix, options.servers) == ("shop_catalog_reverse", ["kafka-1:9092", "kafka-2:9092"])
    assert options.form_of(TableName(name="product")) == "debezium"
    assert options.form_of(TableName(name="stock")) == "lossless"
    client = options.client_config()
    assert client["ssl_cafile"] == str(tmp_path / "ca.pem")
    assert client["sasl_plain_password"] == "hunter2"
    assert "hunter2" not in repr(options) + repr(settings)


@pytest.mark.parametrize("line", ["log = 'rabbit'", "kafka = {partitions = 0}", "kafka = {topic_prefix = 'a b'}"])
def test_nonsense_is_refused(tmp_path, line):
    with pytest.raises(BadInput, match="stream"):
        settings_of(tmp_path, f"[stream]\n{line}\n")

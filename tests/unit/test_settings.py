import pytest

from strangler.errors import BadInput
from strangler.redaction import redact
from strangler.settings import load_settings

GOOD = """
[legacy]
database = "postgresql://app:${DB_PASSWORD}@db/store"
url = "http://127.0.0.1:8001"
[services.catalog]
database = "postgresql://catalog@db/catalog"
url = "http://127.0.0.1:8002"
plan = "plans/catalog.yaml"
"""


def write(tmp_path, text):
    path = tmp_path / "strangler.toml"
    path.write_text(text)
    return path


def test_variables_are_expanded_and_secrets_stay_out_of_repr(tmp_path):
    settings = load_settings(write(tmp_path, GOOD), {"DB_PASSWORD": "hunter2"})
    assert settings.legacy.database == "postgresql://app:hunter2@db/store"
    assert "hunter2" not in repr(settings)
    assert settings.plan_path("catalog") == tmp_path / "plans/catalog.yaml"


@pytest.mark.parametrize(
    ("text", "environment", "thing", "reason"),
    [
        (GOOD, {}, "${DB_PASSWORD}", "not set"),
        (GOOD.replace("[legacy]", "[legcay]"), {"DB_PASSWORD": "x"}, "legacy", "required"),
        (GOOD + 'extra = "x"\n', {"DB_PASSWORD": "x"}, "services.catalog.extra", "not permitted"),
        ("[legacy", {}, "strangler.toml", "not valid TOML"),
    ],
)
def test_each_mistake_is_named(tmp_path, text, environment, thing, reason):
    with pytest.raises(BadInput) as refused:
        load_settings(write(tmp_path, text), environment)
    assert thing in refused.value.thing
    assert reason in refused.value.reason


def test_an_unknown_service_lists_those_that_exist(tmp_path):
    settings = load_settings(write(tmp_path, GOOD), {"DB_PASSWORD": "x"})
    with pytest.raises(BadInput, match="use one of: catalog"):
        settings.service("orders")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:s3cret@db:5432/store",
        "connection to postgresql://app:s3c:r@et@db/store failed",
        "host=db password=s3cret user=app",
        "host=db password='s3 cret' user=app",
        "postgresql://db/store?user=app&password=s3cret&sslmode=require",
    ],
)
def test_O3_passwords_are_redacted(text):
    assert "cret" not in redact(text)
    assert "s3c" not in redact(text)

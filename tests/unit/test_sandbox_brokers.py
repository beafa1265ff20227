"""Brokers that are not there say what is missing and how to get it."""

import sys

import pytest

from sandbox import kafka, maven, tansu
from sandbox.errors import PartMissing


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    for name in ("JAVA_HOME", kafka.VARIABLE, tansu.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_no_java(nothing_installed):
    with pytest.raises(PartMissing, match="java"):
        maven.java_binary()


def test_an_old_java(nothing_installed, monkeypatch):
    java = nothing_installed / "java"
    java.write_text(f"#!{sys.executable}\nimport sys; sys.stderr.write('openjdk version \"11.0.2\"')\n")
    java.chmod(0o755)
    with pytest.raises(PartMissing, match="Java 17"):
        maven.java_binary()


def test_no_maven_and_nothing_in_the_cache(nothing_installed):
    with pytest.raises(PartMissing, match="mvn"):
        kafka.kafka_libs()


def test_jars_in_the_cache_need_no_maven(nothing_installed):
    cached = nothing_installed / "cache" / "strangler" / f"kafka-{kafka.VERSION}"
    cached.mkdir(parents=True)
    assert kafka.kafka_libs() == cached


def test_an_installation_that_is_none(nothing_installed, monkeypatch):
    monkeypatch.setenv(kafka.VARIABLE, str(nothing_installed))
    with pytest.raises(PartMissing, match="kafka_"):
        kafka.kafka_libs()


def test_neither_broker_is_one_message_that_names_both(nothing_installed, monkeypatch):
    monkeypatch.setenv(tansu.VARIABLE, str(nothing_installed / "none"))

    class NoStack:
        folder = nothing_installed

        def reserve_ports(self, count):
            return tuple(range(1, count + 1))

    with pytest.raises(PartMissing) as raised:
        tansu.start_any_broker(NoStack())
    assert "java" in raised.value.reason
    assert "Tansu" in raised.value.reason

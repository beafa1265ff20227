"""The suite of every change log, over Kafka: a real one, and the broker that comes as a wheel."""

import pytest

from tests.contract.test_change_log import *  # noqa: F403
from tests.kafka_rig import any_kafka, kafka_logs, new_options, real_kafka, wheel_broker  # noqa: F401

pytestmark = pytest.mark.integration

del test_any_values_survive  # noqa: F821 - makes its own logs; the properties of our records have a test of their own


_NEEDS_DELETED_RECORDS = ("retention_never", "too_late", "trimming", "iterated_again")


@pytest.fixture(params=["kafka-python", "confluent"])
def log(any_kafka, kafka_logs, request):  # noqa: F811
    if request.param == "confluent":
        pytest.importorskip("confluent_kafka", reason="the extra kafka-fast is not installed")
        if any_kafka[2].version == "Tansu":
            pytest.skip("the accelerated producer is tested over Apache Kafka")
    if any_kafka[2].version == "Tansu" and any(word in request.node.name for word in _NEEDS_DELETED_RECORDS):
        pytest.skip("Tansu does not delete records (its DeleteRecords is not implemented)")
    if any_kafka[2].version == "Tansu" and "megabyte" in request.node.name:
        pytest.skip("Tansu answers a produce request of a megabyte late, sometimes not within its time")
    return kafka_logs(new_options(any_kafka[0], client=request.param))

import inspect

from cdc import errors
from cdc.error_policy import POLICIES, Policy, policy_for
from cdc.mapping import errors as mapping_errors


def test_every_error_class_has_a_policy():
    listed = [cls for module in (errors, mapping_errors) for _, cls in inspect.getmembers(module, inspect.isclass)]
    own = [cls for cls in listed if cls.__module__.startswith("cdc.")]
    assert [cls.__name__ for cls in own if not set(cls.__mro__) & POLICIES.keys()] == []


def test_the_nearest_class_decides():
    made = {"thing": "t", "reason": "r", "mend": "m"}
    assert policy_for(errors.SlotInUse(**made)) is Policy.RETRY
    assert policy_for(errors.SlotMismatch(**made)) is Policy.FATAL
    assert policy_for(mapping_errors.RowUnmappable(**made)) is Policy.MANUAL

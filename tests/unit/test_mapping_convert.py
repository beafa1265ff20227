from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.mapping.convert import look_up, shift_down, shift_up

EXACT = Context(prec=500)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12.34", "1234"), ("0.05", "5"), ("-0.50", "-50"), ("0.00", "0"), ("7", "700"), ("1.500", "150"), ("-0.00", "0")],
)
def test_scaling_to_minor_units(text, expected):
    assert shift_up(text, 2) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1234", "12.34"), ("5", "0.05"), ("-50", "-0.50"), ("0", "0.00"), ("12.5", "0.125"), ("-0", "0.00")],
)
def test_scaling_back(text, expected):
    assert shift_down(text, 2) == expected


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e5", "", "12.345", "٣"])
def test_what_cannot_be_scaled_exactly_is_refused(text):
    with pytest.raises(ValueError):
        shift_up(text, 2)


@given(st.integers(-(10**80), 10**80), st.integers(1, 20))
def test_scaling_is_exact_both_ways(number, digits):
    down = shift_down(str(number), digits)
    assert Decimal(down) == EXACT.scaleb(Decimal(number), -digits)
    assert shift_up(down, digits) == str(number)


def test_a_value_outside_the_lookup_is_refused_by_name():
    with pytest.raises(ValueError, match="'x' is not in the lookup"):
        look_up("x", {"a": "b"})

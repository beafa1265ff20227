"""The monolith answers the catalog contract: it is the control of every parallel run."""

import pytest

from tests.contract.catalog_api import CHECKS
from tests.integration.monolith_store import store as store

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_monolith_keeps_the_catalog_contract(check, store):
    check(store.client)

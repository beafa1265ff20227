from pathlib import Path

import pytest

from migration_plans.errors import WrongPhase
from migration_plans.phases import TRANSITIONS, WAY_BACK, Phase, PhaseEvent, as_mermaid, next_phase


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", PhaseEvent)
def test_every_pair_is_an_edge_or_refused_with_the_possible_ones(phase, event):
    if event in TRANSITIONS[phase]:
        assert next_phase(phase, event) in Phase
    else:
        with pytest.raises(WrongPhase) as refused:
            next_phase(phase, event)
        assert str(event) in refused.value.reason


def test_every_phase_has_a_row_and_a_way_back():
    assert set(TRANSITIONS) == set(Phase) == set(WAY_BACK)


def test_planned_is_reachable_from_every_phase_in_which_legacy_owns():
    def reachable(start):
        seen, todo = set(), [start]
        while todo:
            phase = todo.pop()
            if phase not in seen:
                seen.add(phase)
                todo.extend(TRANSITIONS[phase].values())
        return seen

    for phase in set(Phase) - {Phase.COMPLETED}:
        assert Phase.PLANNED in reachable(phase)
    assert reachable(Phase.COMPLETED) == {Phase.COMPLETED}


def test_the_diagram_in_the_docs_is_the_table():
    assert as_mermaid() in Path("docs/phases.md").read_text()

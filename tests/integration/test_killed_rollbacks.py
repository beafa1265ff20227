"""The demo's own parts on a small store: the runner killed at every step of the rollback, under traffic."""

import pytest

from tests.live_story import kill_at_every_step, live_story, nothing_was_lost, to_the_brink


@pytest.mark.timeout(1200)
def test_C7_a_runner_killed_at_any_step_of_the_rollback_loses_doubles_and_fails_nothing(tmp_path):
    with live_story(tmp_path) as story:
        to_the_brink(story)
        story.transfer("cutover")
        kill_at_every_step(story, "rollback")
        nothing_was_lost(story)

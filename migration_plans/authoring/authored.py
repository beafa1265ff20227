"""All files of a new plan's folder. Pure."""

from collections.abc import Mapping

from migration_plans.authoring.checklist import checklist
from migration_plans.authoring.draft import Draft
from migration_plans.authoring.plan_text import plan_text
from migration_plans.authoring.skeleton import package_files

PLAN_NAME = "plan.yaml"
CHECKLIST_NAME = "CHECKLIST.md"


def plan_files(draft: Draft) -> Mapping[str, str]:
    """Path inside the folder → text."""
    return {PLAN_NAME: plan_text(draft), CHECKLIST_NAME: checklist(draft), **package_files(draft)}

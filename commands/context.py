"""What every command starts from: the settings file, and which service it is about."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from migration_plans.plan import Plan
from migration_plans.plan_file import load_plan
from strangler.errors import BadInput
from strangler.settings import Settings, load_settings


@dataclass
class Context:
    """Lazily read settings: a command that needs none works without a file."""

    config_path: Path
    _plans: dict[str, Plan] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.config_path)

    def service(self, name: str | None) -> str:
        """The named service, or the only one."""
        if name is not None:
            self.settings.service(name)
            return name
        if len(self.settings.services) == 1:
            return next(iter(self.settings.services))
        raise BadInput(
            thing="SERVICE",
            reason=f"{self.config_path} names {len(self.settings.services)} services",
            mend=f"name one of: {', '.join(sorted(self.settings.services)) or '(none)'}",
        )

    def plan(self, service: str) -> Plan:
        """The service's plan, read once; its `service` must be the one that names it."""
        if service not in self._plans:
            plan = load_plan(self.settings.plan_path(service))
            if plan.service != service:
                raise BadInput(
                    thing=f"{self.settings.plan_path(service)}: service",
                    reason=f"is {plan.service!r}, but strangler.toml uses this plan for {service!r}",
                    mend="make the two agree",
                )
            self._plans[service] = plan
        return self._plans[service]

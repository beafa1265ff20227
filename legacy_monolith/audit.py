"""The audit trail: one row per business act, in the transaction of the act."""

from typing import Any

from sqlalchemy.orm import Session

from legacy_monolith.models import AuditEntry


def audit(session: Session, entity: str, entity_id: int, action: str, actor: str, **detail: Any) -> None:
    """Note who did what to which row."""
    session.add(AuditEntry(entity=entity, entity_id=entity_id, action=action, actor=actor[:80], detail=detail))

"""What can go wrong between a source log and a target database."""

from typing import TYPE_CHECKING, Self

from strangler.errors import BadInput, PromiseBroken, Refused, TooBusy, Unreachable

if TYPE_CHECKING:
    from cdc.events import Relation


class DecodeError(Refused):
    """The server sent bytes that are not the replication protocol we know."""


class LogDamaged(Refused):
    """A change-log segment fails its checksum before its last record."""


class PositionExpired(Refused):
    """The requested position lies before what the change log still holds."""


class SlotMismatch(Refused):
    """The slot is lost, was recreated, is ahead of the ledger, or is used by somebody else: reading on loses data."""


class SlotInUse(SlotMismatch):
    """Another consumer reads the slot now. After a crash this passes when the server sees that the old one is gone."""


class SourceUnfit(Refused):
    """The source cannot be captured: wal_level, privileges, replica identity, missing table."""


class ValueRefused(Refused):
    """A source row holds a value that the stream cannot carry exactly."""


class SchemaChanged(Refused):
    """A captured or target table no longer has the columns the mapping was made for.

    `relation`: the form of the source table that the mapper does not know, when it was an event that showed it.
    """

    def __init__(self, *, thing: str, reason: str, mend: str, relation: "Relation | None" = None) -> None:
        super().__init__(thing=thing, reason=reason, mend=mend)
        self.relation = relation


class ConflictingWrite(Refused):
    """A data change arrived from the side that does not own the tables."""


class ApplyFailed(Refused):
    """The target refused a change, or a change matched no row: the sides have diverged."""


class TargetBusy(ApplyFailed):
    """Others hold the target's rows or tables for longer than a batch may wait; it may pass the next time."""


class TooManyParked(Refused):
    """More rows were refused than may be parked: this is no longer about single rows, so the stream stops."""


class RowsParked(PromiseBroken):
    """Rows are parked, so the two sides cannot be equal and nothing may rely on the stream."""


class MappingInvalid(BadInput):
    """The mapping names something that does not exist, or forgets something that does."""


class VerificationFailed(PromiseBroken):
    """Source and target differ."""


class OutboxInvalid(Refused):
    """An outbox table, its options, or a row in it cannot become a domain event."""


class DeliveryFailed(Unreachable):
    """The receiver of domain events did not take them; they are sent again."""


class StreamAlert(PromiseBroken):
    """A stream is stopped, too far behind, or retains more log at its source than it may."""


class DatabaseUnreachable(Unreachable):
    """A database does not answer or closed the connection."""


class StreamingFailed(DatabaseUnreachable):
    """The server could not decode a transaction that is still open. Once that has committed, it can."""


class LogInUse(Refused):
    """Another process writes to this change log, or this one was opened for reading only."""


class LogNotFound(BadInput):
    """There is no change log in this folder."""


class TransactionTooLarge(Refused):
    """One source transaction is larger than the memory bound of the capture."""


class TargetUnfit(Refused):
    """The target cannot carry the stream's bookkeeping: privileges, version."""


class NotProvisioned(Refused):
    """The stream has no position in its target: its slot, tables and origin were never made, or were removed."""


class StreamBusy(Refused):
    """Another worker runs this stream."""


class CopyRefused(Refused):
    """A table cannot be copied as it is: the target holds rows that are not ours, or the table has no usable key."""


class PositionNotReached(TooBusy):
    """The target did not apply a position within the time that was allowed."""


class LogUnwritable(Unreachable):
    """The change log's disk refused a write; nothing of the batch counts as appended."""

    @classmethod
    def because(cls, error: OSError, thing: str) -> Self:
        """`thing`: what could not be written."""
        return cls(
            thing=thing,
            reason=error.strerror or str(error),
            mend="free or repair the disk; the stream goes on by itself, nothing is lost",
        )


class BrokerUnreachable(Unreachable):
    """No broker of the change log's cluster answers, or it could not make a batch durable in time."""


class BrokerRefused(Refused):
    """The cluster refuses what the change log needs: permission, policy, too few replicas to hold a topic."""


class WrongCluster(Refused):
    """The brokers belong to another cluster, or the topics to another stream, than the settings say."""


class LogUnfit(Refused):
    """The change log cannot be kept in the form or under the name that the settings ask for."""


class MessageTooLarge(Refused):
    """One event is larger than the broker takes, in a form that cannot be split."""


class UntrustedValues(Refused):
    """A record of a foreign form holds less than its source had, in columns that the reader did not accept."""

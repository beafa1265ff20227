"""What a loop of the worker does about an error. Pure: one table."""

from enum import Enum

from cdc import errors
from strangler.errors import StranglerError


class Policy(Enum):
    """`RETRY`: soon, with backoff, state `retrying`. `MANUAL`: somebody has to act; the stream says `stopped` and looks
    every now and then whether it was done. `FATAL`: `stopped` until the worker is started anew."""

    RETRY = "retry"
    MANUAL = "manual"
    FATAL = "fatal"


POLICIES: dict[type[StranglerError], Policy] = {
    errors.DatabaseUnreachable: Policy.RETRY,
    errors.StreamingFailed: Policy.RETRY,
    errors.SlotInUse: Policy.RETRY,
    errors.StreamBusy: Policy.RETRY,
    errors.NotProvisioned: Policy.RETRY,
    errors.LogUnwritable: Policy.RETRY,
    errors.BrokerUnreachable: Policy.RETRY,
    errors.BrokerRefused: Policy.MANUAL,
    errors.WrongCluster: Policy.MANUAL,
    errors.LogUnfit: Policy.MANUAL,
    errors.MessageTooLarge: Policy.MANUAL,
    errors.ApplyFailed: Policy.MANUAL,
    errors.TargetBusy: Policy.RETRY,
    errors.TooManyParked: Policy.MANUAL,
    errors.RowsParked: Policy.MANUAL,
    errors.CopyRefused: Policy.MANUAL,
    errors.SchemaChanged: Policy.MANUAL,
    errors.SourceUnfit: Policy.MANUAL,
    errors.ValueRefused: Policy.MANUAL,
    errors.TargetUnfit: Policy.MANUAL,
    errors.TransactionTooLarge: Policy.MANUAL,
    errors.MappingInvalid: Policy.MANUAL,
    errors.PositionNotReached: Policy.MANUAL,
    errors.LogNotFound: Policy.MANUAL,
    errors.VerificationFailed: Policy.MANUAL,
    errors.UntrustedValues: Policy.MANUAL,
    errors.StreamAlert: Policy.MANUAL,
    errors.OutboxInvalid: Policy.MANUAL,
    errors.DeliveryFailed: Policy.RETRY,
    errors.LogInUse: Policy.FATAL,
    errors.ConflictingWrite: Policy.FATAL,
    errors.SlotMismatch: Policy.FATAL,
    errors.LogDamaged: Policy.FATAL,
    errors.PositionExpired: Policy.FATAL,
    errors.DecodeError: Policy.FATAL,
}


def policy_for(error: StranglerError) -> Policy:
    """The nearest class decides; an error that nobody listed is a person's to look at."""
    for cls in type(error).__mro__:
        if cls in POLICIES:
            return POLICIES[cls]
    return Policy.MANUAL

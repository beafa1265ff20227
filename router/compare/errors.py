"""What can be wrong with comparison rules, and with a body that is to be compared."""

from strangler.errors import BadInput


class BadCompareRules(BadInput):
    """A rule file names a mask, path, shape or option that does not exist, or one that cannot be read."""


class UnreadableBody(ValueError):
    """A body is not what its headers say: not JSON, not decodable, or nested too deeply to walk."""


class OversizedBody(ValueError):
    """A body is larger, after decoding, than the comparison limit."""

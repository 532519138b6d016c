"""Where Raft libraries differ in their rules: one record the core reads, so that no rule asks whose library it is."""

from typing import Final

from msgspec import Struct


class Profile(Struct, frozen=True, kw_only=True):
    """The rules of one library."""

    joint_consensus: bool = True
    """Changes of more than one voter go through a joint membership (paper §6). Otherwise only changes of one voter at
    a time are begun (thesis §4.1), as where the others know no joint memberships."""


NATIVE: Final = Profile()
"""Our own rules."""

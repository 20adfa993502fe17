"""Which confinement this machine allows: the first that passes its self-test."""

from __future__ import annotations

import functools
import warnings

from rlvr.core.errors import UserError
from rlvr.sandbox.mechanisms import BUBBLEWRAP, LANDLOCK, UNSAFE, Confinement
from rlvr.sandbox.selftest import faults

HOW_TO_GET_ONE = (
    "Install bubblewrap (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap). Ubuntu "
    "24.04 and later forbid it by default: allow it with an AppArmor profile for /usr/bin/bwrap that grants "
    "userns, or with sysctl kernel.apparmor_restrict_unprivileged_userns=0. In a container, user "
    "namespaces must be allowed. Or use a kernel with Landlock (5.13 or later, in the list of lsm=)."
)


class ConfinementError(UserError):
    """Nothing here can confine a process; the message says what was tried and what to do."""


def choose(allow_unsafe: bool = False) -> Confinement:
    """bubblewrap, else Landlock; found out once in a process, in under a second each.

    With allow_unsafe, where neither holds: limits alone, with a warning; otherwise ConfinementError.
    """
    for confinement in (BUBBLEWRAP, LANDLOCK):
        if not tested(confinement):
            return confinement
    tried = "; ".join(f"{c.name}: {', '.join(tested(c))}" for c in (BUBBLEWRAP, LANDLOCK))
    if not allow_unsafe:
        raise ConfinementError(f"nothing here can confine a process ({tried}). {HOW_TO_GET_ONE}")
    warnings.warn(
        f"verifiers run with limits but unconfined: what they run can reach files and the network ({tried}). "
        f"{HOW_TO_GET_ONE}",
        stacklevel=2,
    )
    return UNSAFE


@functools.cache
def tested(confinement: Confinement) -> tuple[str, ...]:
    """What is wrong with a confinement on this machine; empty if it holds."""
    return tuple(faults(confinement))

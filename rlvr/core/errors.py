"""What goes wrong for reasons that the user can act on."""

from __future__ import annotations


class UserError(Exception):
    """Its message is all that a person needs: what is wrong, where, what is allowed, what to do.

    status: the exit status of a command that ends with it; 2 for what the command line or a recipe says,
    1 for everything else.
    """

    status = 1

"""The one error a user is meant to read."""


class DareError(ValueError):
    """Something a user can put right: one line naming what, which file, and the way out."""

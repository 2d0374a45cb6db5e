"""Raw recordings to shards. ``pipelines.cut`` gives the windows of any one file."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.piece import cut

__all__ = ["cut"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import what cuts, and with it the libraries for signals, only when it is asked for."""
    if name == "cut":
        from pipelines.piece import cut

        return cut
    raise AttributeError(f"module 'pipelines' has no attribute {name!r}")

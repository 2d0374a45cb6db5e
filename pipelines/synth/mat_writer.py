"""MAT 5 files, the same bytes for the same input."""

import io
from pathlib import Path
from typing import Any

from scipy.io import savemat

_TEXT_BYTES = 116


def write_mat(path: Path, variables: dict[str, Any]) -> None:
    """Write variables as MATLAB 5 does; a list becomes a cell array and a dict a struct."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    savemat(buffer, variables)
    # The file begins with free text, and the library puts the time of day there.
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(_TEXT_BYTES) + buffer.getvalue()[_TEXT_BYTES:])

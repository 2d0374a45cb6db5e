"""M3CV: a MAT file an epoch of 4 s; whose epoch it is only the table of its part of the corpus tells."""

import csv
import re
from pathlib import Path, PurePosixPath

from manifests.errors import LostError, MissingError
from manifests.notes import note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus
from pipelines.formats.arrays import Arrays

LABELS: tuple[str, ...] = tuple(
    """FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 FZ CZ PZ FC1 FC2 CP1 CP2 FC5 FC6 CP5 CP6 FT9 FT10 TP9 TP10
    F1 F2 C1 C2 P1 P2 AF3 AF4 FC3 FC4 CP3 CP4 PO3 PO4 F5 F6 C5 C6 P5 P6 AF7 AF8 FT7 FT8 TP7 TP8 PO7 PO8 FPZ CPZ POZ OZ
    FCZ MARKER""".split()
)
"""The 64 electrodes in the order that the torcheeg library gives them (the corpus itself names none), and marks."""

_PATH = re.compile(r"(?:^|/)(?P<part>Enrollment|Calibration|Testing)/(?P<epoch>epoch\d+)\.mat$")
_TABLE = re.compile(r"(?:^|/)(?:Enrollment|Calibration|Testing)_Info\.csv$")
_SUBJECT = re.compile(r"[a-z]*\d+", re.IGNORECASE)


class M3cv(Corpus):
    """Three parts of the corpus, each with its table of epochs."""

    RELEASE = "2022"

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every epoch, unused until `apply_tables` knows whose it is: it could land on two sides."""
        return [
            RawRecording(
                path=path,
                subject=f"{recipe.namespace}:unknown",
                session="",
                skip=note("no subject", "its subject is told by no {names}", [f"{match['part']}_Info.csv"]),
            )
            for path in paths
            if (match := _PATH.search(path))
        ]

    def apply_tables(self, recordings: list[RawRecording], src: Path, paths: list[str]) -> list[RawRecording]:
        """Return the epochs with the subject and the session that the tables among ``paths`` below ``src`` give them.

        The subjects of some test epochs are withheld: those stay skipped. Raises DareError where a table cannot be read
        or has no column of epochs or of subjects.
        """
        tables = {path: _rows(src / path) for path in paths if _TABLE.search(path)}
        return [_enrolled(raw, tables) for raw in recordings]

    def arrays(self, _raw: RawRecording) -> Arrays | None:
        """Return the layout of an epoch."""
        return Arrays(variables="epoch_data", axes="channel time", labels=LABELS, sfreq=250.0)


def _enrolled(raw: RawRecording, tables: dict[str, dict[str, tuple[str, str]]]) -> RawRecording:
    path = PurePosixPath(raw.path)
    subject, session = tables.get(f"{path.parent}_Info.csv", {}).get(path.stem, ("", ""))
    if not _SUBJECT.fullmatch(subject):
        return raw
    namespace = raw.subject.partition(":")[0]
    return raw.model_copy(update={"subject": f"{namespace}:{subject}", "session": session, "skip": None})


def _rows(path: Path) -> dict[str, tuple[str, str]]:
    """Return (subject, session) by epoch; releases differ in how they spell the columns."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as problem:
        raise LostError(f"cannot be read: {problem.strerror or problem}", path=path) from problem
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if row]
    names = [name.lower().removesuffix("id") for name in rows[0]] if rows else []
    if not {"epoch", "subject"} <= set(names):
        raise MissingError("has no columns EpochID and SubjectID", path=path, remedy="get the table again")
    found = [dict(zip(names, row, strict=False)) for row in rows[1:]]
    return {row.get("epoch", ""): (row.get("subject", ""), row.get("session", "")) for row in found}

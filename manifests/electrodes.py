"""Electrode names: what a file calls an electrode, what we call it, and which ones the network knows.

Canonical names are the modern 10-10 names in upper case (Oostenveld & Praamstra 2001). A derivation between two
electrodes (``FP1-F7``) keeps its name whole; a common reference (``-REF``, ``-LE``) is stripped and reported.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count

VOCABULARY: tuple[str, ...] = tuple(
    """FP1 FPZ FP2 AF7 AF3 AF4 AF8 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ
    C2 C4 C6 T8 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 O1 OZ
    O2""".split()
)
"""The 62 electrodes of the network's embedding table; an electrode's id is its position here."""

PRETRAIN_58: tuple[str, ...] = tuple(name for name in VOCABULARY if name not in {"AF7", "AF8", "PO5", "PO6"})
"""The 58 electrodes of the published pretraining, in the order of its tensors."""

ALIASES: dict[str, str] = {
    "T3": "T7",
    "T4": "T8",
    "T5": "P7",
    "T6": "P8",
}
"""Old 10-20 names and their 10-10 successors: the same sites. A1 and M1 are not the same site, so not here."""

TCP_22: tuple[str, ...] = tuple(
    """FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2 A1-T7 T7-C3 C3-CZ CZ-C4 C4-T8 T8-A2 FP1-F3 F3-C3 C3-P3 P3-O1
    FP2-F4 F4-C4 C4-P4 P4-O2""".split()
)
"""The pairs of the temporal central parasagittal montage (ACNS 2006), in the order that TUH's labels count in."""

LINKED_EARS: tuple[str, str] = ("A1", "A2")
"""The electrodes whose mean is the linked-ears reference."""

_IDS = {name: position for position, name in enumerate(VOCABULARY)}
_EEG_PREFIX = re.compile(r"^(?:EEG|EDF)[ :]\s*|^EEG-(?!\d|REF$|LE$)", re.IGNORECASE)
_PREFIXED = re.compile(r"([A-Z]+)[ :]\s*(.+)")
_DASH = re.compile(r"\s*[-‐‑‒–—−\x96\x97]\s*")
_COMMON_REFERENCES = ("REF", "LE", "AR", "AVG", "CAR")
OTHER_KINDS = frozenset(
    """ABDOMEN ABP ACC AIRFLOW AUX BIP BVP CHEST CO2 DBS DC DIA ECG ECOG EDA EKG EMG EOG ETCO2 EVENT EYE FLOW GSR GYRO
    HEOG HR IEEG LIGHT MARKER MEG MISC NIRS PHOTIC PLETH PPG PULSE RESP SAO2 SEEG SOUND SPO2 STATUS STIM SYS TEMP THORAX
    TRIG TRIGGER VEOG""".split()
)
"""Words for what is no EEG of the scalp, as labels and the types of channels have them."""

_SITE = re.compile(r"(?:AF|CP|F|FC|FP|FT|C|I|N|O|P|PO|T|TP)(?:Z|[1-9]|10)|[AM][12]")
_LAST_IN_ROW = {"A": 2, "C": 6, "F": 10, "M": 2, "O": 2, "P": 10, "T": 10}
_NUMBERED = re.compile(r"([A-Z]'?)([1-9]\d{0,2})")
_ROW_LETTERS = "ABCDFGHOP"
"""Letters that rows of contacts have, but not E (nets), M, T, V (leads of the heart) or X (spare inputs)."""

_SHORTEST_ROW = 4


def split_reference(label: str) -> tuple[str, str]:
    """Return (canonical name, reference) of a channel label as a file spells it.

    ``EEG FP1-REF`` is (``FP1``, ``REF``), ``Fc5.`` is (``FC5``, ````), ``EEG:C3`` is (``C3``, ````), and a
    derivation such as ``FP1-F7`` or ``C3-A2`` keeps its whole name and has no reference. What names another kind of
    signal keeps that in its name: ``ECG C3`` is no electrode, ``ECG EKG`` is ``EKG``.
    """
    name = _EEG_PREFIX.sub("", label.strip()).strip().strip(".").upper()
    if (twice := _PREFIXED.fullmatch(name)) and other_kind(twice[1]) and other_kind(twice[2]):
        name = twice[2]
    name, reference = _DASH.sub("-", re.sub(r"\s+", " ", name)), ""
    head, dash, tail = name.rpartition("-")
    if dash and head and tail in _COMMON_REFERENCES:
        name, reference = head.strip(". "), tail
    parts = [ALIASES.get(part.strip(". "), part.strip(". ")) for part in name.split("-")]
    if len(parts) > 1 and re.fullmatch(r"\d", parts[-1]) and all(map(is_ten_ten, parts[:-1])):
        parts.pop()  # MNE numbers names that a file has twice: T8-P8-0
    return "-".join(parts), reference


def other_kind(text: str) -> str:
    """Return the word by which a label or a type names another kind of signal than EEG, "" where none does."""
    words = re.findall(r"[A-Z]+\d*", text.upper())
    return next((word for word in words if {word, word.rstrip("0123456789")} & OTHER_KINDS), "")


def is_ten_ten(name: str) -> bool:
    """Return whether a canonical name is one of the 10-10 system or of the ears."""
    row = _NUMBERED.fullmatch(name)
    return name in _IDS or bool(row and int(row[2]) <= _LAST_IN_ROW.get(row[1], 0))


def is_site(name: str) -> bool:
    """Return whether a canonical name is one of the whole 10-10 system (TP9, IZ), of the ears or of the mastoids."""
    return is_ten_ten(name) or bool(_SITE.fullmatch(name))


def numbered_rows(names: Iterable[str]) -> dict[str, str]:
    """Return the contacts among a file's names that are numbered by rows, and their row: ``A1 to A8``.

    Those of BioSemi's caps and of depth electrodes are. There are such rows where one of them goes on beyond what the
    10-10 system has; then all letters are rows whose numbers go from 1 to 3 and on.
    """
    rows: defaultdict[str, set[int]] = defaultdict(set)
    for match in filter(None, map(_NUMBERED.fullmatch, names)):
        rows[match[1]].add(int(match[2]))
    lasts = {row: next(number for number in count(1) if number not in numbers) - 1 for row, numbers in rows.items()}
    least = {row: max(_SHORTEST_ROW, _LAST_IN_ROW.get(row, 0) + 2) for row in lasts}
    if not any(last >= least[row] and row[0] in _ROW_LETTERS for row, last in lasts.items()):
        return {}
    return {
        f"{row}{number}": f"{row}1 to {row}{last}" for row, last in lasts.items() if last > 2 for number in rows[row]
    }


def canonical(label: str) -> str:
    """Return the canonical name of a channel label (see `split_reference`)."""
    return split_reference(label)[0]


def derivation(name: str) -> tuple[str, str] | None:
    """Return the two electrodes that a bipolar derivation such as ``FP1-F7`` is the difference of, None for others."""
    plus, dash, minus = name.partition("-")
    return (plus, minus) if dash and plus and minus and "-" not in minus else None


def in_vocabulary(names: Sequence[str]) -> list[int]:
    """Return the positions of the canonical names that the network has an embedding for."""
    return [position for position, name in enumerate(names) if name in _IDS]


def ids(names: Sequence[str]) -> list[int]:
    """Return the embedding ids of electrode names, aliases resolved.

    Raises KeyError naming every electrode the vocabulary lacks.
    """
    wanted = [canonical(name) for name in names]
    if unknown := [name for name in wanted if name not in _IDS]:
        raise KeyError(f"not among the {len(VOCABULARY)} electrodes of the network: {', '.join(unknown)}")
    return [_IDS[name] for name in wanted]

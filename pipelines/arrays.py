"""Arrays: how a file of bare numbers (MAT 5 or 7.3) holds a recording, which nothing in the file says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arrays:
    """The layout of a recording in a file of arrays.

    ``variables`` is a regular expression of the names that hold signal, taken in natural order (``x2`` before ``x10``);
    ``axes`` names the axes of each, ``time`` and ``channel`` among them (``"channel time target block"``): every
    index of the others is a trial. Where the variable is a struct, or a cell of structs, ``field`` is its member with
    the signal, ``onsets`` the one with 1-based samples of events and ``codes`` with their numbers. Every trial,
    variable and struct is a segment of its own, spanned by an event whose text is the variable's name and then axis
    and 0-based index, as in ``data target 3 block 0``. ``labels`` name the channels in order, ``sfreq`` is in Hz;
    ``unit`` as in a file's header. Where not the axis named but another has as many entries as there are channels,
    that one is taken.
    """

    variables: str
    axes: str
    labels: tuple[str, ...]
    sfreq: float
    unit: str = "uV"
    field: str = ""
    onsets: str = ""
    codes: str = ""

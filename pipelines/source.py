"""Source: a raw recording as the tree it lies in tells of it, before a byte of it is read."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """A recording of a corpus: its path below --src and what its name and place say.

    ``label`` is the class of the whole recording, "" where events carry the classes; ``label_file`` the file, below
    --src, that holds its labels; ``skip`` says why the recipe has no use for it; ``lacks`` what it cannot do without;
    ``montage`` names the file's channels in order, where its own labels do not tell; ``unused`` says by label which are
    no usable electrodes, and why.
    """

    path: str
    subject: str
    session: str
    test: bool = False
    label: str = ""
    label_file: str = ""
    skip: str = ""
    lacks: str = ""
    montage: tuple[str, ...] = ()
    unused: dict[str, str] = field(default_factory=dict)

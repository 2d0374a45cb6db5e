"""Source: a raw recording as the tree it lies in tells of it, before a byte of it is read."""

from manifests.notes import Note
from manifests.records import Part, added


class Source(Part):
    """A recording of a corpus: its path below --src and what its name and place say.

    ``label`` is the class of the whole recording, "" where events carry the classes; ``label_file`` the file, below
    --src, that holds its labels; ``montage`` names the file's channels in order, where its own labels do not tell;
    ``unused`` says by label which are no usable electrodes, and why. ``skip`` says why the recipe has no use for it,
    ``lacks`` what it cannot do without; neither is written.
    """

    path: str
    subject: str
    session: str
    test: bool = False
    label: str = ""
    label_file: str = ""
    montage: tuple[str, ...] = ()
    unused: dict[str, str] = added({}, absent={})
    skip: Note | None = added(None, absent=None, exclude=True)
    lacks: Note | None = added(None, absent=None, exclude=True)

"""An encoder of somebody's own in twenty lines: all that a probe asks of one."""

from torch import as_tensor, nn

from dare_eeg import EEGEncoder, Identity, Prepared


class OwnEncoder(EEGEncoder):
    """Half seconds of the mean over electrodes at 100 Hz, in units of 100 µV, through two layers."""

    electrodes = ("FP1", "C3", "CZ")
    identity = Identity("own", sha256="0123", pretrained_on="4567", subjects=("tuh:nobody",), notes=("a note",))

    def __init__(self):
        super().__init__()
        self.bottom, self.top = nn.Linear(50, 8), nn.Linear(8, 8)

    def known(self, electrodes):
        return [place for place, name in enumerate(electrodes) if name in self.electrodes]

    def prepare(self, x_uv, electrodes, sfreq, present=None):
        x = as_tensor(x_uv) / 100
        return Prepared(nn.functional.interpolate(x, round(x.shape[-1] * 100 / sfreq)), tuple(electrodes), present)

    def encode(self, prepared):
        return self.top(self.bottom(prepared.x.mean(dim=1).unfold(-1, 50, 50)).tanh())[:, :, None]

    def layers(self):
        return [list(self.bottom.parameters()), list(self.top.parameters())]

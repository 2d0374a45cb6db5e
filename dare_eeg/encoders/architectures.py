"""Architectures: what each of braindecode's pretrained encoders wants and answers, one table, with its sources.

Importing this imports no braindecode: classes go by name.
"""

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from manifests.electrodes import PRETRAIN_58, canonical, derivation

TEN_TWENTY: tuple[str, ...] = tuple("FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2".split())
"""The 19 electrodes of the 10-20 system, in the order of BENDR's rows."""

BIOT_PAIRS: tuple[str, ...] = tuple(
    """FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2 C3-A2
    C4-A1""".split()
)
"""The derivations that BIOT has a token for, in their order; sleep recordings alone had the last two."""


@dataclass(frozen=True)
class Architecture:
    """One of braindecode's encoders: its class and public weights, what it wants, and how its answer is read.

    Windows come at ``sfreq`` Hz, have ``least`` samples at least and are cut to whole multiples of ``whole``; ``scale``
    brings µV (B, C, T) to what it was trained on. ``electrodes`` are what an adapter maps onto, and ``names`` of its
    network are those that it can read, None where it reads any of the scalp. ``arguments`` of (electrodes, samples) are
    what its class is made with, ``features`` of (network, x, electrodes) are (B, N, S, D). ``blocks`` is the list of
    its blocks, ``above`` begins the names of what lies above them. ``corpora`` are what it was pretrained on, ours by
    our names. Where ``is_in_pairs`` its rows are `BIOT_PAIRS`; where ``is_made_by_shape`` its network is one for
    electrodes and a length; ``rows`` is the parameter that has a row for each ``whole`` samples of the longest window,
    and one more, if any.
    """

    class_name: str
    repository: str
    sfreq: float
    whole: int
    least: int
    scale: Callable[[Tensor], Tensor]
    electrodes: tuple[str, ...]
    names: Callable[[Any], Collection[str] | None]
    arguments: Callable[[Sequence[str], int], dict[str, Any]]
    features: Callable[[Any, Tensor, Sequence[str]], Tensor]
    blocks: str
    above: tuple[str, ...]
    corpora: tuple[str, ...]
    is_in_pairs: bool = False
    is_made_by_shape: bool = False
    rows: str = ""


def _times(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda x_BCT: x_BCT * factor


def _by_percentile(x_BCT: Tensor) -> Tensor:
    """Return each row over the 95th percentile of its size."""
    return x_BCT / (x_BCT.abs().quantile(0.95, dim=-1, keepdim=True) + 1e-8)


def _by_range(x_BCT: Tensor) -> Tensor:
    """Return windows between -1 and 1."""
    low, high = x_BCT.amin(dim=(1, 2), keepdim=True), x_BCT.amax(dim=(1, 2), keepdim=True)
    return 2 * (x_BCT - low) / (high - low + 1e-6) - 1


def _standardised(x_BCT: Tensor) -> Tensor:
    """Return each row less its mean over its deviation, 15 of these at most."""
    centred = x_BCT - x_BCT.mean(dim=-1, keepdim=True)
    return (centred / (centred.square().mean(dim=-1, keepdim=True).sqrt() + 1e-8)).clamp(-15, 15)


def _any(_network: nn.Module) -> None:
    return None


def _labram_names(_network: nn.Module) -> Collection[str]:
    from braindecode.models.labram import LABRAM_CHANNEL_ORDER

    return [name.upper() for name in LABRAM_CHANNEL_ORDER]


def _sjepa_names(_network: nn.Module) -> Collection[str]:
    from braindecode.models import InterpolatedSignalJEPA

    return [one["ch_name"].upper() for one in InterpolatedSignalJEPA._TARGET_CHS_INFO]


def _counted(electrodes: Sequence[str], samples: int) -> dict[str, Any]:
    return {"n_chans": len(electrodes), "n_times": samples}


def _named(electrodes: Sequence[str], samples: int) -> dict[str, Any]:
    return {"chs_info": [{"ch_name": name} for name in electrodes], "n_times": samples}


def _of_each(network: nn.Module, x_BCT: Tensor, _electrodes: Sequence[str]) -> Tensor:
    """Return features that come as (B, C, N, D)."""
    found: Tensor = network(x_BCT, return_features=True)["features"]
    return found.transpose(1, 2)


def _labram_features(network: nn.Module, x_BCT: Tensor, electrodes: Sequence[str]) -> Tensor:
    """Return the patch tokens, whose mean the published classifiers read; the class token they do not."""
    found = network(x_BCT.contiguous(), return_features=True, ch_names=list(electrodes))["features"]
    return _split(found, len(electrodes))


def _split(features: Tensor, num_electrodes: int) -> Tensor:
    """Return features (B, C × N, D) as (B, N, C, D)."""
    return features.reshape(len(features), num_electrodes, -1, features.shape[-1]).transpose(1, 2)


def _biot_features(network: nn.Module, x_BCT: Tensor, electrodes: Sequence[str]) -> Tensor:
    """Return the one vector of the pairs up to the last that is there; pairs between them that are not are zero."""
    placed = _placed(x_BCT, electrodes, BIOT_PAIRS)
    last = max(BIOT_PAIRS.index(name) for name in electrodes if name in BIOT_PAIRS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A window was not provided")  # nor was one in its training
        found: Tensor = network(placed[:, : max(16, last + 1)], return_features=True)["features"]
    return found[:, None, None]


def _bendr_features(network: nn.Module, x_BCT: Tensor, electrodes: Sequence[str]) -> Tensor:
    """Return the start token's vector; the twentieth row is 0, as published where the range of a set is not known."""
    placed = _placed(x_BCT, electrodes, (*TEN_TWENTY, "SCALE"))
    found: Tensor = network(placed, return_features=True)["features"]
    return found[:, None, None]


def _placed(x_BCT: Tensor, electrodes: Sequence[str], places: Sequence[str]) -> Tensor:
    """Return windows with a row for each place, zero where there is no such electrode."""
    rows = {name: row for row, name in enumerate(electrodes)}
    absent = torch.zeros_like(x_BCT[:, 0])
    return torch.stack([x_BCT[:, rows[name]] if name in rows else absent for name in places], dim=1)


def _eegpt_features(network: Any, x_BCT: Tensor, _electrodes: Sequence[str]) -> Tensor:
    found: Tensor = network(x_BCT, return_features=True)["features"]
    return found.reshape(*found.shape[:2], network.embed_num, -1)


def _sjepa_features(network: nn.Module, x_BCT: Tensor, electrodes: Sequence[str]) -> Tensor:
    return _split(network(x_BCT, return_features=True)["features"], len(electrodes))


def _reve_arguments(electrodes: Sequence[str], samples: int) -> dict[str, Any]:
    from braindecode.models.reve import RevePositionBank

    spelt = {name.upper(): name for name in RevePositionBank().get_all_positions()}
    return _named([spelt[name] for name in electrodes if name in spelt], samples)


def paired(x_BCT: Tensor, electrodes: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Return windows with the derivations of BIOT that their electrodes make up in front of all other rows.

    A derivation is a difference; braindecode's ``InterpolatedBIOT`` puts a spline of potentials at the middle of a pair
    in its place, which is none.
    """
    names = [canonical(name) for name in electrodes]
    rows, made, ends = [], [], set()
    for pair in BIOT_PAIRS:
        plus, minus = derivation(pair) or ("", "")
        if pair not in names and plus in names and minus in names:
            rows.append(x_BCT[:, names.index(plus)] - x_BCT[:, names.index(minus)])
            made.append(pair)
            ends |= {plus, minus}
    others = [row for row, name in enumerate(names) if name not in ends]
    found = torch.cat([torch.stack(rows, dim=1), x_BCT[:, others]], dim=1) if rows else x_BCT
    return found, (*made, *(names[row] for row in others))


ARCHITECTURES: dict[str, Architecture] = {
    # Wang et al. 2025, github.com/wjq-learning/CBraMod: seconds of 200 samples in units of 100 µV. Electrodes have no
    # names in it, only their order. Published windows are whole seconds; of others the last, incomplete one goes.
    "cbramod": Architecture(
        "CBraMod", "braindecode/cbramod-pretrained", 200, 200, 200, _times(1e-2), TEN_TWENTY, _any,
        _counted, _of_each, "encoder.layers", ("proj_out",), ("tueg",),
    ),
    # Jiang et al. 2024, github.com/935963004/LaBraM: as CBraMod, electrodes by name, and no more seconds than its time
    # embedding has. TUAR, TUEP, TUSZ and TUSL are of patients of TUH, whom TUAB and TUEV may have, too.
    "labram": Architecture(
        "Labram", "braindecode/labram-pretrained", 200, 200, 200, _times(1e-2), TEN_TWENTY, _labram_names,
        _counted, _labram_features, "blocks", ("norm", "fc_norm"),
        ("physionetmi", "tuar", "tusz", "tusl", "TUEP", "seed", "BCI IV 1", "Emobrain", "Grasp and Lift", "INRIA BCI",
         "SPIS", "Siena", "target against non-target", "own recordings"),
        is_made_by_shape=True, rows="temporal_embedding",
    ),
    # Yang et al. 2023, github.com/ycq091044/BIOT: bipolar pairs, each over its 95th percentile. A spectrogram of frames
    # of a second leaves out what fills none. Of 16 pairs the last two tokens are not used.
    "biot": Architecture(
        "BIOT", "braindecode/biot-pretrained-six-datasets-18chs", 200, 1, 200, _by_percentile, BIOT_PAIRS[:16], _any,
        lambda _electrodes, samples: {"n_chans": len(BIOT_PAIRS), "n_times": samples}, _biot_features,
        "encoder.transformer.layers.layers", (), ("tuab", "tuev", "chbmit", "SHHS", "IIIC Seizure", "MGH"),
        is_in_pairs=True,
    ),
    # Wang et al. 2024, github.com/BINE022/EEGPT: mV, patches of 64 samples, pretrained on 4 s. Patches of a window do
    # not see each other, so any number will do. braindecode puts a map that it draws in front; here there is none.
    "eegpt": Architecture(
        "EEGPT", "braindecode/eegpt-pretrained", 256, 64, 64, _times(1e-3), PRETRAIN_58, lambda _network: PRETRAIN_58,
        lambda electrodes, samples: _named(electrodes, samples) | {"chan_proj_type": "none"}, _eegpt_features,
        "target_encoder.blocks", ("target_encoder.norm",), ("physionetmi", "hgd", "tsu", "seed", "m3cv"),
        is_made_by_shape=True,
    ),
    # Kostas et al. 2021, github.com/SPOClab-ca/BENDR with dn3's MappingDeep1010 and To1020: the 10-20 electrodes of a
    # window between -1 and 1, absent ones zero. Its convolutions step 96 samples and pad what fills no step.
    "bendr": Architecture(
        "BENDR", "braindecode/braindecode-bendr", 256, 1, 256, _by_range, TEN_TWENTY, lambda _network: TEN_TWENTY,
        lambda _electrodes, samples: {"n_chans": len(TEN_TWENTY) + 1, "n_times": samples}, _bendr_features,
        "contextualizer.transformer_layers", ("contextualizer.norm", "contextualizer.output_layer"), ("tueg",),
    ),
    # Guetschel et al. 2024, braindecode's own: µV of 0.5 to 40 Hz, electrodes by name. Its first feature spans 152
    # samples, and what fills no step of 128 is left out.
    "sjepa": Architecture(
        "SignalJEPA", "braindecode/signal-jepa", 128, 1, 152, _times(1.0), TEN_TWENTY,
        _sjepa_names,
        lambda electrodes, samples: _named(electrodes, samples) | {"channel_embedding": "pretrain_aligned"},
        _sjepa_features, "transformer.encoder.layers", ("transformer.encoder.norm", "transformer.decoder"),
        ("Lee2019",), is_made_by_shape=True,
    ),
    # El Ouahidi et al. 2025, huggingface.co/brain-bzh: each electrode over its deviation, clipped at 15, electrodes by
    # their place in a table of positions. Published deviations are of whole recordings, here they are of the window.
    # Patches of 200 samples step 180, and what fills none is left out.
    "reve": Architecture(
        "REVE", "brain-bzh/reve-base", 200, 1, 200, _standardised, TEN_TWENTY,
        lambda network: [name.upper() for name in network._position_bank.get_all_positions()],
        _reve_arguments, _of_each, "transformer.layers", (),
        ("tueg", "tuab", "tuev", "physionetmi", "hgd", "and 87 more"), is_made_by_shape=True,
    ),
}  # fmt: skip

"""What goes before and after an encoder: the adapter from other electrodes, and the published classifiers.

Their parameters carry the published names: of a published fine-tuned state dict, ``conv_head.*`` loads into
`Adapter` (all but ``conv_head.anti_alias.weight``, which nothing uses) and ``classifier.*`` into
`FinetuneHead`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def _limit_norms(weight: Tensor, max_norm: float) -> None:
    """Shrink each filter to an L2 norm of at most ``max_norm``, in place.

    Through ``.data``, so that a weight that an earlier forward saved for its backward may be limited again:
    the second time changes nothing.
    """
    weight.data.copy_(torch.renorm(weight.data, p=2, dim=0, maxnorm=max_norm))


class MaxNormLinear(nn.Linear):
    """A linear layer whose rows are kept short (Lawhern et al. 2018, "EEGNet")."""

    def __init__(self, in_features: int, out_features: int, max_norm: float) -> None:
        super().__init__(in_features, out_features)
        self.max_norm = max_norm

    def forward(self, x: Tensor) -> Tensor:
        """Limit the weight, then apply it."""
        _limit_norms(self.weight, self.max_norm)
        return super().forward(x)


class MaxNormConv1d(nn.Conv1d):
    """A convolution over time whose filters have an L2 norm of at most 1."""

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Limit the weight, then apply it."""
        _limit_norms(self.weight, 1.0)
        return super().forward(x_BCT)


class Adapter(nn.Module):
    """Learned electrodes for an encoder from recorded ones: (B, C, T) to (B, C', T'), in the unit that goes in.

    ``in_electrodes`` name the C rows that go in, ``electrodes`` the C' that come out. Filters keep an L2 norm of at
    most 1 (Lawhern et al. 2018, "EEGNet"). ``layers=1`` is the published map for BCIC-2b, one 1×1 convolution with a
    bias. ``layers=2`` is the one for TUAB and TUEV: two 1×1 convolutions by way of 2 C channels, then, with
    ``time_kernel``, a depthwise one that shortens windows by ``time_kernel`` - 1 samples, each with batch norm and
    GELU, and dropout of whole channels. Raises ValueError for other layers and for a
    ``time_kernel`` with a single layer.
    """

    def __init__(
        self,
        in_electrodes: Sequence[str],
        electrodes: Sequence[str],
        time_kernel: int | None = None,
        layers: int = 1,
    ) -> None:
        super().__init__()
        if layers not in (1, 2) or (layers == 1 and time_kernel is not None):
            raise ValueError(f"no adapter of layers={layers} and time_kernel={time_kernel}")
        self.in_electrodes = tuple(in_electrodes)
        self.electrodes = tuple(electrodes)
        recorded, wanted = len(self.in_electrodes), len(self.electrodes)
        if layers == 1:
            self.conv_layers = nn.Sequential(MaxNormConv1d(recorded, wanted, 1))
            return
        parts = _activated(recorded, 2 * recorded, 1) + _activated(2 * recorded, wanted, 1)
        if time_kernel is not None:
            parts += _activated(wanted, wanted, time_kernel, groups=wanted)
        self.conv_layers = nn.Sequential(*parts, nn.Dropout1d(0.1))

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Return (B, C', T') of (B, C, T)."""
        return self.conv_layers(x_BCT)


def _activated(channels_in: int, channels_out: int, kernel: int, groups: int = 1) -> list[nn.Module]:
    convolution = MaxNormConv1d(channels_in, channels_out, kernel, groups=groups, bias=False)
    return [convolution, nn.BatchNorm1d(channels_out), nn.GELU()]


class ProbeHead(nn.Module):
    """The published probe of a frozen encoder: features (B, N, S, D) to logits (B, classes)."""

    def __init__(self, patches: int, summary_tokens: int, width: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layer1 = MaxNormLinear(summary_tokens * width, 16, max_norm=1.0)
        self.layer2 = MaxNormLinear(16 * patches, classes, max_norm=0.25)

    def forward(self, features_BNSD: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return self.layer2(self.layer1(self.dropout(features_BNSD.flatten(2))).flatten(1))


class FinetuneHead(nn.Module):
    """The published classifier of a fine-tuned encoder: features (B, N, S, D) to logits (B, classes).

    The second dropout is 0.2 less than the first, ``dropout``.
    """

    def __init__(self, patches: int, summary_tokens: int, width: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            MaxNormLinear(summary_tokens * width, 128, max_norm=1.0),
            nn.LayerNorm(128),
            nn.GELU(),
            nn.Dropout(dropout),
            MaxNormLinear(128, 16, max_norm=1.0),
            nn.LayerNorm(16),
            nn.GELU(),
            nn.Dropout(max(0.0, dropout - 0.2)),
        )
        self.layer2 = MaxNormLinear(16 * patches, classes, max_norm=0.25)

    def forward(self, features_BNSD: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        return self.layer2(self.mlp(features_BNSD.flatten(2)).flatten(1))

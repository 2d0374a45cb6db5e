"""The network: a masked autoencoder over (time patch, electrode) tokens with two alignments.

Tensor names end in their axes: B batch, C electrodes, T samples, N time patches, P samples of a patch, M rows
(the time patches an encoder reads), K tokens of a row, L tokens of a sequence, S summary tokens, D width, H
heads, E features of a head, Y reconstruction targets. Parameters carry the names of the published state dict,
so weights load and export with no renaming.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from dare_eeg.network.blocks import Init, RotaryTime, initialise, norm, run, stack
from dare_eeg.network.constants import PATCH
from dare_eeg.network.masks import Masks
from dare_eeg.network.objective import WHOLE, Objective
from manifests.electrodes import VOCABULARY


@dataclass(frozen=True)
class Size:
    """The shape of a network: ``depths`` are the blocks of its encoder, predictor and reconstructor."""

    name: str
    width: int
    summary_tokens: int
    depths: tuple[int, int, int]
    heads: int


SIZES: dict[str, Size] = {
    size.name: size
    for size in (
        Size("nano", 64, 1, (2, 2, 4), 4),
        Size("light", 128, 1, (6, 6, 6), 4),
        Size("small", 256, 1, (6, 6, 6), 4),
        Size("base", 256, 4, (8, 8, 8), 4),
        Size("deep", 512, 4, (8, 8, 8), 8),
    )
}
"""The five published sizes: 0.6, 3.8, 14.7, 19.9 and 77.8 million trained parameters."""


def infer_size(state_dict: dict[str, Tensor]) -> Size:
    """Return the size that the tensors of a state dict show, its encoder prefixed or bare.

    Shapes do not tell heads: they are 8 where the width is 512 and 4 elsewhere. The depth of a part that the state
    dict lacks is 0. A shape that none of the five sizes has is named ``custom``. Raises KeyError where there is no
    encoder.
    """
    prefix = next((p for p in ("encoder.", "target_encoder.") if f"{p}summary_token" in state_dict), "")
    _, summary_tokens, width = state_dict[f"{prefix}summary_token"].shape
    stacks = (f"{prefix}blocks.", "predictor.predictor_blocks.", "reconstructor.reconstructor_blocks.")
    encoder, predictor, reconstructor = (
        len({name.removeprefix(stack).split(".")[0] for name in state_dict if name.startswith(stack)})
        for stack in stacks
    )
    shape = (width, summary_tokens, (encoder, predictor, reconstructor), 8 if width == 512 else 4)
    return Size(next((size.name for size in SIZES.values() if _agrees(size, shape)), "custom"), *shape)


def _agrees(size: Size, shape: tuple[int, int, tuple[int, int, int], int]) -> bool:
    width, summary_tokens, depths, heads = shape
    known = all(depth in (0, expected) for depth, expected in zip(depths, size.depths, strict=True))
    return known and (size.width, size.summary_tokens, size.heads) == (width, summary_tokens, heads)


def cut_patches(x_BCT: Tensor) -> Tensor:
    """Return (B, N, C, P) with N = T // 64; trailing samples are dropped. Raises ValueError where N is 0."""
    patches = x_BCT.shape[-1] // PATCH
    if patches == 0:
        raise ValueError(f"{x_BCT.shape[-1]} samples are less than one patch of {PATCH}")
    return rearrange(x_BCT[..., : patches * PATCH], "b c (n p) -> b n c p", p=PATCH)


def unless_complete(present_BC: Tensor | None) -> Tensor | None:
    """Return None where every electrode of every window is present: then no attention needs a mask."""
    return None if present_BC is None or bool(present_BC.all()) else present_BC


def _pick(x: Tensor, numbers: Tensor, axes: int) -> Tensor:
    """Return what ``numbers`` name along the second axis of ``x``.

    They have so many axes where they are the same for all windows, and one more, the first, where each has its own.
    """
    windows = torch.arange(len(x), device=x.device)
    return x[windows.view(-1, *(1,) * axes), numbers]


class PatchEmbed(nn.Module):
    """Raw patches (..., P) to tokens (..., D): the published convolution, whose kernel is its stride."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, kernel_size=(1, PATCH), stride=(1, PATCH))

    def forward(self, patches: Tensor) -> Tensor:
        """Return (..., D)."""
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class Encoder(nn.Module):
    """Electrodes of one time patch to its summary tokens; time patches do not see each other.

    Its weights are for `initialise` to draw or for a state dict to bring.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        self.summary_token = nn.Parameter(torch.zeros(1, size.summary_tokens, size.width))
        self.patch_embed = PatchEmbed(size.width)
        self.chan_embed = nn.Embedding(len(VOCABULARY), size.width)
        self.blocks = stack(size.width, size.heads, size.depths[0])
        self.norm = norm(size.width)

    def forward(
        self,
        x_BCT: Tensor,
        ids_C: Tensor,
        mask_MK: Tensor | None = None,
        present_BC: Tensor | None = None,
    ) -> Tensor:
        """Return features (B, M, S, D) of windows in network units.

        ``ids_C`` are positions in the vocabulary, in any order. ``mask_MK``, or one for each window (B, M, K),
        holds flat token numbers n * C + c, one row per time patch to read; None reads all tokens of all N = M
        patches. Electrodes that ``present_BC`` denies take part in nothing. Raises ValueError for less than one
        patch of samples.
        """
        patches_BNCP = cut_patches(x_BCT)
        if mask_MK is None:
            tokens = self.patch_embed(patches_BNCP) + self.chan_embed(ids_C)
            present = None if present_BC is None else repeat(present_BC, "b c -> b n c", n=tokens.shape[1])
        else:
            electrode_MK = mask_MK % len(ids_C)
            seen_BMKP = _pick(patches_BNCP.flatten(1, 2), mask_MK, axes=2)
            tokens = self.patch_embed(seen_BMKP) + self.chan_embed(ids_C[electrode_MK])
            present = None if present_BC is None else _pick(present_BC, electrode_MK, axes=2)
        return self._summarise(tokens, present)

    def _summarise(self, tokens_BMKD: Tensor, present_BMK: Tensor | None) -> Tensor:
        batch, _, seen, _ = tokens_BMKD.shape
        rows = rearrange(tokens_BMKD, "b m k d -> (b m) k d")
        summary = self.summary_token.expand(len(rows), -1, -1)
        keys = None
        if present_BMK is not None:
            keys = F.pad(present_BMK.flatten(0, 1), (0, self.size.summary_tokens), value=True)
        summary = run(self.blocks, torch.cat((rows, summary), dim=1), start=seen, keys_BL=keys)
        return rearrange(self.norm(summary), "(b m) s d -> b m s d", b=batch)


class Predictor(nn.Module):
    """Summaries of the visible time patches to summaries of all of them."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, size.summary_tokens, size.width))
        self.predictor_embed = nn.Linear(size.width, size.width)
        self.time_embed = RotaryTime(size.width // size.heads)
        self.predictor_blocks = stack(size.width, size.heads, size.depths[1])
        self.predictor_norm = norm(size.width)
        self.predictor_proj = nn.Linear(size.width, size.width)

    def forward(self, z_BMSD: Tensor, visible_M: Tensor, num_patches: int) -> tuple[Tensor, Tensor]:
        """Return (pred, comb), each (B, N, S, D): the prediction, and the same with ``z`` where visible.

        ``visible_M``, or one for each window (B, M), are the time patches that ``z`` describes.
        """
        batch, rows, summary_tokens, _ = z_BMSD.shape
        place = visible_M.expand(batch, rows)[..., None, None].expand_as(z_BMSD)
        visible = self.predictor_embed(z_BMSD)
        hidden = self.mask_token.to(visible.dtype).expand(batch, num_patches, -1, -1)
        tokens = rearrange(hidden.scatter(1, place, visible), "b n s d -> b (n s) d")
        time = torch.arange(num_patches, device=z_BMSD.device).repeat_interleave(summary_tokens)
        tokens = run(self.predictor_blocks, tokens, start=0, rotation=self.time_embed(time))
        pred = self.predictor_proj(self.predictor_norm(tokens))
        pred = rearrange(pred, "b (n s) d -> b n s d", s=summary_tokens)
        return pred, pred.to(z_BMSD.dtype).scatter(1, place, z_BMSD)


class Reconstructor(nn.Module):
    """Summaries of all time patches to the raw patches of single electrodes."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.reconstructor_embed = nn.Linear(size.width, size.width)
        self.time_embed = RotaryTime(size.width // size.heads)
        self.chan_embed = nn.Embedding(len(VOCABULARY), size.width)
        self.reconstructor_blocks = stack(size.width, size.heads, size.depths[2])
        self.reconstructor_norm = norm(size.width)
        self.reconstructor_proj = nn.Linear(size.width, PATCH)

    def forward(self, comb_BNSD: Tensor, ids_C: Tensor, mask_Y: Tensor, present_BC: Tensor | None = None) -> Tensor:
        """Return (B, Y, P): one patch per flat token number n * C + c of ``mask_Y``, or of one for each window (B, Y).

        Targets see each other, so those of electrodes that ``present_BC`` denies are hidden from all others.
        """
        batch, patches, summary_tokens, _ = comb_BNSD.shape
        context = rearrange(self.reconstructor_embed(comb_BNSD), "b n s d -> b (n s) d")
        electrode_Y, patch_Y = mask_Y % len(ids_C), mask_Y // len(ids_C)
        queries = (self.mask_token + self.chan_embed(ids_C[electrode_Y])).expand(batch, -1, -1)
        time = torch.arange(patches, device=mask_Y.device).repeat_interleave(summary_tokens)
        rotation = self.time_embed(torch.cat((time.expand(*patch_Y.shape[:-1], -1), patch_Y), dim=-1))
        keys = None
        if present_BC is not None:
            keys = F.pad(_pick(present_BC, electrode_Y, axes=1), (context.shape[1], 0), value=True)
        tokens = torch.cat((context, queries), dim=1)
        tokens = run(self.reconstructor_blocks, tokens, context.shape[1], keys, rotation)
        return self.reconstructor_proj(self.reconstructor_norm(tokens))


class ContrastiveHead(nn.Module):
    """The projection in which two views of a window are compared, and the temperature of the comparison."""

    temperature: Tensor

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.tensor(0.1))
        self.projection_head = nn.Sequential(
            nn.Linear(size.summary_tokens * size.width, 512), nn.ReLU(), nn.Linear(512, 256)
        )

    def forward(self, z_BMSD: Tensor) -> Tensor:
        """Return (B, 256), not normalised: the projected mean over rows."""
        return self.projection_head(z_BMSD.mean(dim=1).flatten(1))


@dataclass(frozen=True)
class Outputs:
    """What one pass leaves for the losses; nothing in it depends on what absent electrodes' rows hold."""

    h_raw: Tensor  # the momentum encoder's features of the complete window, for monitoring
    h: Tensor  # the same, layer-normed: what the prediction must reach
    y: Tensor  # raw patches, layer-normed: what the reconstruction must reach
    present_y: Tensor | None  # False where a target's electrode is absent; None where all are present
    z1: Tensor  # the encoder's features of view 1
    z2: Tensor  # and of view 2
    pred: Tensor  # predicted features of all time patches
    comb: Tensor  # the same, with view 1's own features where it was visible
    recon: Tensor  # reconstructed patches
    proj1: Tensor  # projections of the two views
    proj2: Tensor


class Network(nn.Module):
    """The whole of pretraining: encoder, its momentum copy, predictor, reconstructor and contrastive head.

    Its objective says what the reconstructor reads and what it must reach; what counts in the loss is for
    `losses.total`.
    """

    def __init__(self, size: Size, init: Init = "fan_in", objective: Objective = WHOLE) -> None:
        super().__init__()
        self.size, self.objective = size, objective
        self.encoder = Encoder(size)
        self.predictor = Predictor(size)
        self.reconstructor = Reconstructor(size)
        for part in (self.encoder, self.predictor, self.reconstructor):
            initialise(part, init)
        self.target_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.loss_mc = ContrastiveHead(size)

    def forward(
        self,
        x_BCT: Tensor,
        ids_C: Tensor,
        masks: Masks,
        present_BC: Tensor | None = None,
        seen_BCT: Tensor | None = None,
    ) -> Outputs:
        """Run both views, the momentum encoder, the prediction and the reconstruction.

        ``x_BCT`` is in network units, ``ids_C`` are positions in the vocabulary, and ``present_BC`` is False
        where a window lacks an electrode. The views are of ``seen_BCT`` where it is given; what they must reach is
        always of ``x_BCT``. Raises ValueError for less than one patch of samples.
        """
        mask_x, mask_x2, mask_y = (
            torch.as_tensor(mask, device=x_BCT.device) for mask in (masks.mask_x, masks.mask_x2, masks.mask_y)
        )
        seen_BCT = x_BCT if seen_BCT is None else seen_BCT
        present_BC = unless_complete(present_BC)
        if present_BC is not None:
            x_BCT, seen_BCT = (each.masked_fill(~present_BC[..., None], 0) for each in (x_BCT, seen_BCT))
        patches_BNCP = cut_patches(x_BCT)
        y = _pick(patches_BNCP.flatten(1, 2), mask_y, axes=1)
        with torch.no_grad():
            h_raw = self.target_encoder(x_BCT, ids_C, present_BC=present_BC)
            h = F.layer_norm(h_raw, h_raw.shape[-1:])
        both_views = torch.cat((mask_x, mask_x2), dim=-2)
        z1, z2 = self.encoder(seen_BCT, ids_C, both_views, present_BC).chunk(2, dim=1)
        pred, comb = self.predictor(z1, mask_x[..., 0] // len(ids_C), num_patches=patches_BNCP.shape[1])
        context = comb if self.objective.reconstruct_from == "combined" else pred
        return Outputs(
            h_raw=h_raw,
            h=h,
            y=y if self.objective.raw_targets else F.layer_norm(y, (PATCH,)),
            present_y=None if present_BC is None else _pick(present_BC, mask_y % len(ids_C), axes=1),
            z1=z1,
            z2=z2,
            pred=pred,
            comb=comb,
            recon=self.reconstructor(context, ids_C, mask_y, present_BC),
            proj1=self.loss_mc(z1),
            proj2=self.loss_mc(z2),
        )

    @torch.no_grad()
    def update_target(self, momentum: float) -> None:
        """Set the momentum copy to momentum × itself + (1 - momentum) × the encoder."""
        target: list[Tensor] = list(self.target_encoder.parameters())
        source: list[Tensor] = list(self.encoder.parameters())
        torch._foreach_lerp_(target, source, 1.0 - momentum)

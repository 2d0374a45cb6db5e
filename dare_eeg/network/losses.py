"""What pretraining minimises, part by part, and what tells that features collapse.

Every part takes an optional weight per window (B,); 0 marks padding, which counts in no mean and is no
negative. Axes are named as in `dare_eeg.network.model`.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from dare_eeg.network.model import Outputs
from dare_eeg.network.objective import WHOLE, Objective

MASK_WEIGHT = 0.1
ACTIVATION_WEIGHT = 1e-4


@dataclass(frozen=True)
class Losses:
    """The four parts, scalars."""

    reconstruction: Tensor
    anchor: Tensor
    mask: Tensor
    activation: Tensor


def measure(
    outputs: Outputs, temperature: Tensor, weight_B: Tensor | None = None, across_ranks: bool = False
) -> Losses:
    """Return the four parts for one pass of the network; ``temperature`` is that of its contrastive head.

    With ``across_ranks`` the windows of all ranks are each other's negatives; every rank must then call this at once.
    """
    return Losses(
        reconstruction=reconstruction(outputs.recon, outputs.y, outputs.present_y, weight_B),
        anchor=anchor(outputs.pred, outputs.h, weight_B),
        mask=contrast(outputs.proj1, outputs.proj2, temperature, weight_B, across_ranks),
        activation=activation(outputs.z1, outputs.z2, weight_B),
    )


def total(losses: Losses, objective: Objective = WHOLE) -> Tensor:
    """Return reconstruction + anchor + 0.1 mask + 0.0001 activation.

    An objective without the anchor leaves that out, one without the second view mask and activation. They are measured
    all the same.
    """
    parts = [losses.reconstruction]
    if objective.anchor:
        parts.append(losses.anchor)
    if objective.second_view:
        parts += [MASK_WEIGHT * losses.mask, ACTIVATION_WEIGHT * losses.activation]
    return torch.stack(parts).sum()


def reconstruction(
    recon_BYP: Tensor, y_BYP: Tensor, present_BY: Tensor | None = None, weight_B: Tensor | None = None
) -> Tensor:
    """Return the mean squared error over the targets whose electrode is present."""
    weight = weight_B
    if present_BY is not None:
        weight = present_BY.float() if weight_B is None else present_BY * weight_B[:, None]
    return _mean((recon_BYP - y_BYP).square(), weight)


def anchor(pred_BNSD: Tensor, h_BNSD: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """Return the mean squared error between prediction and momentum features over all time patches."""
    return _mean((pred_BNSD - h_BNSD).square(), weight_B)


def contrast(
    proj1_BD: Tensor,
    proj2_BD: Tensor,
    temperature: Tensor,
    weight_B: Tensor | None = None,
    across_ranks: bool = False,
) -> Tensor:
    """Return how badly views find each other in the batch by cosine (InfoNCE; van den Oord et al. 2018).

    The cross-entropies of both directions are averaged; 0 where the batch holds a single window.
    """
    if weight_B is not None:
        kept = weight_B > 0
        proj1_BD, proj2_BD, weight_B = proj1_BD[kept], proj2_BD[kept], weight_B[kept]
    # Half precision is too coarse for the cosines of near copies.
    dtype = torch.promote_types(proj1_BD.dtype, torch.float32)
    views_2BD = F.normalize(torch.stack((proj1_BD, proj2_BD)).to(dtype), dim=-1)
    every_2BD, first = views_2BD, 0
    if across_ranks:
        every_2BD, first = _AllRanks.apply(views_2BD), dist.get_rank() * len(proj1_BD)
    with torch.autocast(views_2BD.device.type, enabled=False):
        similarity_2BB = views_2BD @ every_2BD.flip(0).mT / temperature
    itself = first + torch.arange(len(proj1_BD), device=proj1_BD.device)
    errors_2B = F.cross_entropy(similarity_2BB.mT, itself.expand(2, -1), reduction="none")
    return _mean(errors_2B.mean(dim=0), weight_B)


class _AllRanks(torch.autograd.Function):
    """The windows (2, B, D) of all ranks, in their order; each rank's gradient goes back to its own."""

    @staticmethod
    def forward(_ctx: Any, views_2BD: Tensor) -> Tensor:
        parts = [torch.empty_like(views_2BD) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, views_2BD.contiguous())
        return torch.cat(parts, dim=1)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size(), dim=1)[dist.get_rank()]


def activation(z1_BMSD: Tensor, z2_BMSD: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """Return half the sum of the two views' mean squared features."""
    return (_mean(z1_BMSD.square(), weight_B) + _mean(z2_BMSD.square(), weight_B)) / 2


def target_variance(h_raw_BNSD: Tensor) -> Tensor:
    """Return the variance of a feature over windows and patches, averaged over features: 0 is collapse."""
    return h_raw_BNSD.flatten(0, -2).float().var(dim=0, correction=0).mean()


def effective_rank(features: Tensor) -> Tensor:
    """Return the number of directions that features (..., D) fill, between 1 and D (Roy & Vetterli 2007).

    It is the exponential of the entropy of the normalised eigenvalues of their covariance; 1 at collapse, NaN
    where a feature is not finite.
    """
    covariance = torch.cov(features.flatten(0, -2).double().T, correction=0)
    if not covariance.isfinite().all():
        return covariance.new_tensor(float("nan"))
    spectrum = torch.linalg.eigvalsh(covariance).clamp(min=0)
    shares = spectrum / spectrum.sum().clamp(min=torch.finfo(spectrum.dtype).tiny)
    return torch.special.entr(shares).sum().exp()


def _mean(x: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean of ``x`` weighted along its first axes; 0 where nothing counts."""
    if weight is None:
        return x.sum() / max(1, x.numel())
    each = x.flatten(weight.dim()).mean(dim=-1) if x.dim() > weight.dim() else x
    return (each * weight).sum() / weight.sum().clamp(min=torch.finfo(torch.float32).tiny)

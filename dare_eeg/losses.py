"""What pretraining minimises, part by part, and what tells that features collapse.

Every part takes an optional weight per window (B,); 0 marks padding, which counts in no mean and is no
negative. Axes are named as in `dare_eeg.model`.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dare_eeg.model import Outputs

MASK_WEIGHT = 0.1
ACTIVATION_WEIGHT = 1e-4


@dataclass(frozen=True)
class Losses:
    """The four parts, scalars."""

    reconstruction: Tensor
    anchor: Tensor
    mask: Tensor
    activation: Tensor


def measure(outputs: Outputs, temperature: Tensor, weight_B: Tensor | None = None) -> Losses:
    """Return the four parts for one pass of the network; ``temperature`` is that of its contrastive head."""
    return Losses(
        reconstruction=reconstruction(outputs.recon, outputs.y, outputs.present_y, weight_B),
        anchor=anchor(outputs.pred, outputs.h, weight_B),
        mask=contrast(outputs.proj1, outputs.proj2, temperature, weight_B),
        activation=activation(outputs.z1, outputs.z2, weight_B),
    )


def total(losses: Losses) -> Tensor:
    """Return reconstruction + anchor + 0.1 mask + 0.0001 activation."""
    aligned = losses.reconstruction + losses.anchor + MASK_WEIGHT * losses.mask
    return aligned + ACTIVATION_WEIGHT * losses.activation


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


def contrast(proj1_BD: Tensor, proj2_BD: Tensor, temperature: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """Return how badly views find each other in the batch by cosine (InfoNCE; van den Oord et al. 2018).

    The cross-entropies of both directions are averaged; 0 where the batch holds a single window.
    """
    proj1_BD, proj2_BD = proj1_BD.float(), proj2_BD.float()
    if weight_B is not None:
        kept = weight_B > 0
        proj1_BD, proj2_BD, weight_B = proj1_BD[kept], proj2_BD[kept], weight_B[kept]
    similarity_BB = F.cosine_similarity(proj1_BD[:, None], proj2_BD[None], dim=-1) / temperature
    itself = torch.arange(len(similarity_BB), device=similarity_BB.device)
    forth = F.cross_entropy(similarity_BB, itself, reduction="none")
    back = F.cross_entropy(similarity_BB.T, itself, reduction="none")
    return _mean((forth + back) / 2, weight_B)


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

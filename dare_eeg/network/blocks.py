"""What the networks are stacked of: pre-norm transformer blocks, rotary time positions, initial weights.

Axes are named as in `dare_eeg.network.model`.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Init = Literal["fan_in", "published"]

Rotation = Tensor
"""Complex numbers of length 1 (L, pairs) or (B, 1, L, pairs), by which a token's pairs of features are turned."""


class RotaryTime(nn.Module):
    """Rotary time positions (Su et al. 2021, "RoFormer") of the first half of each head's features."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        rotated = head_width // 2
        freqs = 10000.0 ** (-torch.arange(0, rotated, 2) / rotated)
        self.freqs = nn.Parameter(freqs, requires_grad=False)
        self.still = head_width // 2 - len(freqs)

    def forward(self, time_L: Tensor) -> Rotation:
        """Return the rotation of tokens in these time patches, (L,) for all windows or (B, L) for each."""
        # Pairs that stand still are turned by 0: one product of all is faster than two halves put together again.
        angles = F.pad((time_L / 2)[..., None] * self.freqs, (0, self.still))
        rotation = torch.polar(torch.ones_like(angles), angles)
        return rotation if time_L.dim() == 1 else rotation[:, None]


def rotate(x_BHLE: Tensor, rotation: Rotation) -> Tensor:
    """Turn the features of every token, taken as interleaved pairs, by the token's angles."""
    pairs = torch.view_as_complex(x_BHLE.to(rotation.real.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotation).flatten(-2).to(x_BHLE.dtype)


def attend(q_BHLE: Tensor, k_BHLE: Tensor, v_BHLE: Tensor, mask: Tensor | None) -> Tensor:
    """Return a mixture of the values for each query, of those keys where ``mask``, if any, is True."""
    if v_BHLE.dtype != torch.bfloat16 or v_BHLE.device.type != "cpu":
        return F.scaled_dot_product_attention(q_BHLE, k_BHLE, v_BHLE, attn_mask=mask)
    # torch's fused attention takes longer in bfloat16 than in float32 on a CPU, going back up to four times as long.
    with torch.autocast("cpu", enabled=False):
        width = v_BHLE.shape[-1]
        if width < 64:
            q, k, v = (each.float() for each in (q_BHLE, k_BHLE, v_BHLE))
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).to(v_BHLE.dtype)
        scores = (q_BHLE * width**-0.5) @ k_BHLE.mT
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return scores.softmax(dim=-1) @ v_BHLE


_ONE_DNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class _OneDnn(torch.autograd.Function):
    """A linear layer whose products with the weight are oneDNN's, forward and back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = gradients[0].flatten(0, -2)
        return (
            torch.ops.mkldnn._linear_pointwise(gradients[0], weight.t(), None, "none", [], "") if of_x else None,
            rows.t() @ x.flatten(0, -2) if of_weight else None,
            rows.sum(dim=0) if of_bias else None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return what `F.linear` does; in float32 on a CPU by oneDNN, on AMD's up to a quarter faster than torch's MKL."""
    float32 = x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if x.device.type == "cpu" and float32 and _ONE_DNN and not torch.compiler.is_compiling():
        return _OneDnn.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """A linear layer by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., out)."""
        return linear(x, self.weight, self.bias)

    def some(self, x: Tensor, first: int, end: int) -> Tensor:
        """Return of the outputs only those from ``first`` to before ``end``."""
        return linear(x, self.weight[first:end], self.bias[first:end])


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x_BLD: Tensor, keys_BL: Tensor | None, rotation: Rotation | None, start: int) -> Tensor:
        """Return the tokens from ``start`` on, each a mixture of all tokens that ``keys_BL`` allows."""
        q, k, v = (rearrange(each, "b l (h e) -> b h l e", h=self.heads) for each in self._project(x_BLD, start))
        if rotation is not None:
            q, k = rotate(q, rotation[..., start:, :]), rotate(k, rotation)
        mask = None if keys_BL is None else rearrange(keys_BL, "b l -> b 1 1 l")
        return self.proj(rearrange(attend(q, k, v, mask), "b h l e -> b l (h e)"))

    def _project(self, x_BLD: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries of the tokens from ``start`` on, and the keys and values of all."""
        if start and type(self.qkv) is Linear:
            width = x_BLD.shape[-1]
            q_BLD = self.qkv.some(x_BLD[:, start:], 0, width)
            k_BLD, v_BLD = self.qkv.some(x_BLD, width, 3 * width).chunk(2, dim=-1)
            return q_BLD, k_BLD, v_BLD
        # What stands in the layer's place, as an adapter around it does, is called as any layer is.
        q_BLD, k_BLD, v_BLD = self.qkv(x_BLD).chunk(3, dim=-1)
        return q_BLD[:, start:], k_BLD, v_BLD


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, 4 * width)
        self.fc2 = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


def norm(width: int) -> nn.LayerNorm:
    """Return the layer norm that all parts use."""
    return nn.LayerNorm(width, eps=1e-6)


class Block(nn.Module):
    """A pre-norm transformer block; it attends to all tokens and computes those from ``start`` on."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = norm(width)
        self.attn = Attention(width, heads)
        self.norm2 = norm(width)
        self.mlp = Mlp(width)

    def forward(self, x_BLD: Tensor, keys_BL: Tensor | None, rotation: Rotation | None, start: int = 0) -> Tensor:
        """Return the tokens from ``start`` on."""
        x_BLD = x_BLD[:, start:] + self.attn(self.norm1(x_BLD), keys_BL, rotation, start)
        return x_BLD + self.mlp(self.norm2(x_BLD))


def stack(width: int, heads: int, depth: int) -> nn.ModuleList:
    """Return ``depth`` blocks."""
    return nn.ModuleList(Block(width, heads) for _ in range(depth))


def run(
    blocks: nn.ModuleList,
    x_BLD: Tensor,
    start: int,
    keys_BL: Tensor | None = None,
    rotation: Rotation | None = None,
) -> Tensor:
    """Return the tokens from ``start`` on after all blocks; the last block computes no others."""
    for block in blocks[:-1]:
        x_BLD = block(x_BLD, keys_BL, rotation)
    return blocks[-1](x_BLD, keys_BL, rotation, start)


@torch.no_grad()
def initialise(module: nn.Module, init: Init = "fan_in") -> None:
    """Draw the weights of an encoder, predictor or reconstructor from torch's global generator.

    ``published`` draws linear and patch weights with sd 0.02, at which the features of small networks lose
    their rank; ``fan_in`` draws them with 1 / sqrt(fan-in) (LeCun et al. 1998, "Efficient BackProp").
    Embeddings and tokens have sd 0.02 either way, and the l-th block's last layers are divided by sqrt(2 l).
    """
    for name, parameter in module.named_parameters():
        if name.endswith("_token"):
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith(".bias"):
            nn.init.zeros_(parameter)
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Conv2d):
            fan_in = child.weight[0].numel()
            nn.init.trunc_normal_(child.weight, std=0.02 if init == "published" else 1 / math.sqrt(fan_in))
        elif isinstance(child, nn.Embedding):
            nn.init.normal_(child.weight, std=0.02)
    for child in module.modules():
        if isinstance(child, nn.ModuleList):
            for depth, block in enumerate(child, start=1):
                assert isinstance(block, Block)
                block.attn.proj.weight.div_(math.sqrt(2 * depth))
                block.mlp.fc2.weight.div_(math.sqrt(2 * depth))

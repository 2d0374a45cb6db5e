"""What the networks are stacked of: pre-norm transformer blocks, rotary time positions, initial weights.

Axes are named as in `dare_eeg.model`.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

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

    def forward(self, time_L: Tensor) -> Rotation:
        """Return the rotation of tokens in these time patches, (L,) for all windows or (B, L) for each."""
        angles = (time_L / 2)[..., None] * self.freqs
        rotation = torch.polar(torch.ones_like(angles), angles)
        return rotation if time_L.dim() == 1 else rotation[:, None]


def rotate(x_BHLE: Tensor, rotation: Rotation) -> Tensor:
    """Turn the first features of every token, taken as interleaved pairs, by the token's angles."""
    turning, still = x_BHLE.split([2 * rotation.shape[-1], x_BHLE.shape[-1] - 2 * rotation.shape[-1]], dim=-1)
    pairs = torch.view_as_complex(turning.to(rotation.real.dtype).unflatten(-1, (-1, 2)))
    turned = torch.view_as_real(pairs * rotation).flatten(-2)
    return torch.cat((turned.to(still.dtype), still), dim=-1)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BLD: Tensor, keys_BL: Tensor | None, rotation: Rotation | None, start: int) -> Tensor:
        """Return the tokens from ``start`` on, each a mixture of all tokens that ``keys_BL`` allows."""
        width, weight, bias = x_BLD.shape[-1], self.qkv.weight, self.qkv.bias
        if start:
            q_BLD = F.linear(x_BLD[:, start:], weight[:width], bias[:width])
            k_BLD, v_BLD = F.linear(x_BLD, weight[width:], bias[width:]).chunk(2, dim=-1)
        else:
            q_BLD, k_BLD, v_BLD = self.qkv(x_BLD).chunk(3, dim=-1)
        q, k, v = (rearrange(each, "b l (h e) -> b h l e", h=self.heads) for each in (q_BLD, k_BLD, v_BLD))
        if rotation is not None:
            q, k = rotate(q, rotation[..., start:, :]), rotate(k, rotation)
        mask = None if keys_BL is None else rearrange(keys_BL, "b l -> b 1 1 l")
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(rearrange(mixed, "b h l e -> b l (h e)"))


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

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

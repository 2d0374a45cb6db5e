"""One training step of ours beside a plain one that does what the published code does, in one run.

    OMP_NUM_THREADS=1 python benchmarks/pretrain.py [--sizes nano,base] [--precisions fp32,bf16] [--steps 7]

Both start from the same weights and take the same windows and the same masks: 8 visible time patches of 12 electrodes
and 538 targets. The plain step runs the encoder once a view, every block on every token, draws masks in Python, and
moves the momentum copy parameter by parameter; ours is `train_step` as a run calls it, DeepSpeed engine and metrics
included. All kinds of step alternate, so that a busy machine is busy for all. The table it prints is Markdown; "times"
compare medians of processor time, on a GPU those of wall clock.
"""

import argparse
import itertools
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dare_eeg.network import losses
from dare_eeg.network.blocks import Block, RotaryTime
from dare_eeg.network.constants import CROP, PATCH, SFREQ
from dare_eeg.network.masks import Masks
from dare_eeg.network.model import SIZES, Encoder, Network, Outputs, Predictor, Reconstructor, cut_patches
from dare_eeg.running.engine import start_engine
from dare_eeg.running.ranks import Ranks
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.micro_batch import MicroBatch
from dare_eeg.training.step import Trainer, train_step
from manifests.electrodes import PRETRAIN_58, ids

ELECTRODES, PATCHES = 58, CROP // PATCH
BATCH = {"nano": 16, "light": 16, "small": 8, "base": 8, "deep": 4}
PLAIN = "plain, 538 targets"
EVERY_STEP = 7
"""The first step measured is number 7 of a run: none in which features are looked at for collapse."""


def main() -> None:
    """Time both steps and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", default="nano,base")
    arguments.add_argument("--precisions", default="fp32,bf16")
    arguments.add_argument("--steps", type=int, default=7)
    given = arguments.parse_args()
    print("| size, windows | precision | step | wall s, median (range) | processor s, median (range) "
          "| times plain in fp32 | times plain in the same |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for size in given.sizes.split(","):
        for row in compare(size, given.precisions.split(","), given.steps):
            print(row, flush=True)


def compare(size: str, precisions: list[str], steps: int) -> Iterator[str]:
    """Yield a table's row for each kind of step; times faster are of processor time, of wall clock on a GPU."""
    kinds = {}
    for precision in precisions:
        kinds[precision, PLAIN] = plain_step(size, precision)
        kinds[precision, "ours, the same work"] = our_step(size, precision, fixed_masks())
        kinds[precision, "ours, 48 targets (the default)"] = our_step(size, precision, fixed_masks(targets=(36, 12)))
    walls: dict[tuple[str, str], list[float]] = {kind: [] for kind in kinds}
    busy: dict[tuple[str, str], list[float]] = {kind: [] for kind in kinds}
    for number in range(steps + 1):
        for kind, step in kinds.items():
            began = time.perf_counter(), time.process_time()
            step()
            if number:  # the first pays for what is made once
                walls[kind].append(time.perf_counter() - began[0])
                busy[kind].append(time.process_time() - began[1])
    cost = {kind: statistics.median(each) for kind, each in (walls if torch.cuda.is_available() else busy).items()}
    for (precision, name), its in cost.items():
        faster = [cost.get(plain, math.nan) / its for plain in (("fp32", PLAIN), (precision, PLAIN))]
        took = f"{spread(walls[precision, name])} | {spread(busy[precision, name])}"
        yield f"| {size}, {BATCH[size]} | {precision} | {name} | {took} | {faster[0]:.2f} | {faster[1]:.2f} |"


def spread(seconds: list[float]) -> str:
    """Return the median and range as text."""
    return f"{statistics.median(seconds):.3f} ({min(seconds):.3f}–{max(seconds):.3f})"


def fixed_masks(targets: tuple[int, int] | None = None) -> Masks:
    """Return masks of 8 visible patches and 538 targets, or so many in visible and in hidden patches."""
    tokens = np.random.default_rng(0).permuted(np.tile(np.arange(ELECTRODES), (PATCHES, 1)), axis=1)
    tokens += ELECTRODES * np.arange(PATCHES)[:, None]
    seen, unseen, hidden = tokens[::2, :12], tokens[::2, 12:].ravel(), tokens[1::2].ravel()
    in_visible, in_hidden = targets or (74, len(hidden))
    return Masks(seen, tokens[::2, 6:18], np.concatenate([hidden[:in_hidden], unseen[:in_visible]]))


def some_counts(size: str) -> np.ndarray:
    """Return int16 windows."""
    return np.random.default_rng(1).integers(-2000, 2000, (BATCH[size], ELECTRODES, CROP), dtype=np.int16)


def our_step(size: str, precision: str, masks: Masks) -> Callable[[], None]:
    """Return a step of a run on windows that are ready."""
    windows = BATCH[size]
    config = PretrainConfig(
        shards="", out=tempfile.gettempdir(), size=size, steps=1000, global_batch=windows, micro_batch=windows,
        precision=precision,
    )  # fmt: skip
    torch.manual_seed(2025)
    network = Network(SIZES[size], config.init)
    engine = start_engine(network, config.engine)
    trainer = Trainer(network, engine, Ranks.of(engine), config)
    batch = MicroBatch(
        step=0, number=0, counts=some_counts(size), scale=np.full((windows, ELECTRODES), 2.0**-5, np.float32),
        crop=np.zeros(windows, np.int64), ids=np.array(ids(PRETRAIN_58)), sfreq=SFREQ,
        weight=np.ones(windows, np.float32), masks=masks, describe=list,
    )  # fmt: skip

    def step() -> None:
        train_step(trainer, EVERY_STEP, itertools.repeat(batch))

    return step


def plain_step(size: str, precision: str) -> Callable[[], None]:
    """Return a step as the published code takes it, made of the same modules."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(2025)
    network = Network(SIZES[size]).to(device)
    parts = [network.encoder, network.predictor, network.reconstructor]
    trained = [(name, p) for part in parts for name, p in part.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if p.ndim >= 2 and "bias" not in name], "weight_decay": 1e-6},
        {"params": [p for name, p in trained if p.ndim < 2 or "bias" in name], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=2.5e-4, betas=(0.95, 0.999))
    masks, counts = fixed_masks(), torch.from_numpy(some_counts(size))
    electrode_ids = torch.tensor(ids(PRETRAIN_58), device=device)

    def step() -> None:
        draw_in_python(random.Random(0))  # its cost only: the masks are fixed
        x_BCT = counts.to(device) * 2.0**-5 * 0.01
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            outputs = plain_forward(network, x_BCT, electrode_ids, masks)
        measured = losses.measure(outputs, network.loss_mc.temperature)
        loss = losses.total(measured)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        [value.item() for value in (loss, *vars(measured).values())]
        with torch.no_grad():
            for slow, fast in zip(network.target_encoder.parameters(), network.encoder.parameters(), strict=True):
                slow.data.mul_(0.996).add_(0.004 * fast.detach().data)

    return step


def draw_in_python(rng: random.Random) -> tuple[list[list[int]], list[int], list[list[int]]]:
    """Return masks drawn token by token."""
    rows, wanted, pool = [], [], []
    for patch in range(PATCHES):
        order = [patch * ELECTRODES + electrode for electrode in rng.sample(range(ELECTRODES), ELECTRODES)]
        if rng.random() < 0.5:
            rows.append(order[:12])
            pool += order[12:]
        else:
            wanted += order
    wanted += [token for token in pool if rng.random() < 0.2]
    again = [rng.sample(row, 6) + rng.sample(range(ELECTRODES), 6) for row in rows]
    return rows, wanted, again


def plain_forward(network: Network, x_BCT: Tensor, electrode_ids: Tensor, masks: Masks) -> Outputs:
    """Return what the network returns, each view on its own and every block on every token."""
    mask_x, mask_x2, mask_y = (torch.from_numpy(mask).to(x_BCT.device) for mask in vars(masks).values())
    with torch.no_grad():
        h_raw = plain_encoder(network.target_encoder, x_BCT, electrode_ids, None)
        h = F.layer_norm(h_raw, h_raw.shape[-1:])
    z1, z2 = (plain_encoder(network.encoder, x_BCT, electrode_ids, mask) for mask in (mask_x, mask_x2))
    pred, comb = plain_predictor(network.predictor, z1, mask_x[:, 0] // ELECTRODES)
    recon = plain_reconstructor(network.reconstructor, comb, electrode_ids, mask_y)
    y = F.layer_norm(cut_patches(x_BCT).flatten(1, 2)[:, mask_y], (PATCH,))
    return Outputs(h_raw, h, y, None, z1, z2, pred, comb, recon, network.loss_mc(z1), network.loss_mc(z2))


def every_block(blocks: nn.ModuleList, tokens: Tensor, angles_LE: Tensor | None = None) -> Tensor:
    """Return all tokens after all blocks, each of which computes cosines and sines anew."""
    for block in blocks:
        assert isinstance(block, Block)
        qkv, heads = plain_linear(block.attn.qkv, block.norm1(tokens)), block.attn.heads
        q, k, v = rearrange(qkv, "b l (three h e) -> three b h l e", three=3, h=heads)
        if angles_LE is not None:
            q, k = (plain_rotation(each, angles_LE) for each in (q, k))
        mixed = F.scaled_dot_product_attention(q, k, v)
        tokens = tokens + plain_linear(block.attn.proj, rearrange(mixed, "b h l e -> b l (h e)"))
        hidden = F.gelu(plain_linear(block.mlp.fc1, block.norm2(tokens)))
        tokens = tokens + plain_linear(block.mlp.fc2, hidden)
    return tokens


def plain_linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Return the layer's output as torch computes it when left alone."""
    return F.linear(x, layer.weight, layer.bias)


def plain_rotation(x_BHLE: Tensor, angles_LE: Tensor) -> Tensor:
    """Return the features with each pair (a, b) of the first half turned by way of (-b, a)."""
    turning, still = x_BHLE[..., : angles_LE.shape[-1]], x_BHLE[..., angles_LE.shape[-1] :]
    first, second = turning.unflatten(-1, (-1, 2)).unbind(dim=-1)
    quarter = torch.stack((-second, first), dim=-1).flatten(-2)
    return torch.cat((turning * angles_LE.cos() + quarter * angles_LE.sin(), still), dim=-1).to(x_BHLE.dtype)


def angles(embed: RotaryTime, time_L: Tensor) -> Tensor:
    """Return the angle of each feature that turns."""
    return torch.outer(time_L / 2, embed.freqs).repeat_interleave(2, dim=-1)


def plain_encoder(encoder: Encoder, x_BCT: Tensor, electrode_ids: Tensor, mask_MK: Tensor | None) -> Tensor:
    """Return the features of all tokens embedded, then gathered."""
    tokens = encoder.patch_embed(cut_patches(x_BCT)) + encoder.chan_embed(electrode_ids)
    if mask_MK is not None:
        tokens = tokens.flatten(1, 2)[:, mask_MK]
    batch, rows, seen, _ = tokens.shape
    summary = encoder.summary_token.expand(batch * rows, -1, -1)
    tokens = every_block(encoder.blocks, torch.cat((tokens.flatten(0, 1), summary), dim=1))
    return encoder.norm(tokens[:, seen:]).unflatten(0, (batch, rows))


def plain_predictor(predictor: Predictor, z_BMSD: Tensor, visible_M: Tensor) -> tuple[Tensor, Tensor]:
    """Return the prediction, and the same with the encoder's own features where they are."""
    batch, _, summary_tokens, _ = z_BMSD.shape
    visible = predictor.predictor_embed(z_BMSD)
    hidden = predictor.mask_token.to(visible.dtype).expand(batch, PATCHES, -1, -1)
    tokens = hidden.index_copy(1, visible_M, visible).flatten(1, 2)
    time_L = torch.arange(PATCHES, device=z_BMSD.device).repeat_interleave(summary_tokens)
    tokens = every_block(predictor.predictor_blocks, tokens, angles(predictor.time_embed, time_L))
    pred = predictor.predictor_proj(predictor.predictor_norm(tokens)).unflatten(1, (PATCHES, summary_tokens))
    return pred, pred.to(z_BMSD.dtype).index_copy(1, visible_M, z_BMSD)


def plain_reconstructor(
    reconstructor: Reconstructor, comb_BNSD: Tensor, electrode_ids: Tensor, mask_Y: Tensor
) -> Tensor:
    """Return the targets' patches, the last of all tokens."""
    context = reconstructor.reconstructor_embed(comb_BNSD).flatten(1, 2)
    queries = reconstructor.mask_token + reconstructor.chan_embed(electrode_ids[mask_Y % ELECTRODES])
    time_L = torch.arange(PATCHES, device=mask_Y.device).repeat_interleave(comb_BNSD.shape[2])
    turned = angles(reconstructor.time_embed, torch.cat((time_L, mask_Y // ELECTRODES)))
    tokens = torch.cat((context, queries.expand(len(context), -1, -1)), dim=1)
    tokens = every_block(reconstructor.reconstructor_blocks, tokens, turned)[:, context.shape[1] :]
    return reconstructor.reconstructor_proj(reconstructor.reconstructor_norm(tokens))


if __name__ == "__main__":
    main()

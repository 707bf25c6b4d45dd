"""From words and a seed to a picture: a small convolutional network that removes noise in steps, then paints.

It was never trained. Its weights are drawn once from a fixed seed and kept as a checkpoint, so that the application
loads a model from disk, as Forge does; what is real is the work: convolutions, attention over the words' vectors, and
interpolation in torch. The same prompt, seed, size and steps give the same picture with the same torch build.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

WORD_SIZE = 32
LATENT_CHANNELS = 8
SCALE = 8
"""Pixels per latent cell, in both directions."""


class Painter(nn.Module):
    """The network: `denoise` in latent space, `decode` to pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = nn.Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 5, padding=2, padding_mode="reflect", bias=False)
        self.mix = nn.Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 3, padding=1, padding_mode="reflect")
        self.query = nn.Linear(LATENT_CHANNELS, WORD_SIZE)
        self.value = nn.Linear(WORD_SIZE, LATENT_CHANNELS)
        self.style = nn.Linear(WORD_SIZE, 2 * 48)
        self.enter = nn.Conv2d(LATENT_CHANNELS + 3, 48, 1)
        self.layers = nn.ModuleList(nn.Conv2d(48, 48, 1) for _ in range(3))
        self.leave = nn.Conv2d(48, 3, 1)

    def denoise(self, latent: Tensor, words: Tensor, step: float) -> Tensor:
        """One step: smooth, let every cell look at the words, and bend what came out."""
        cells = latent.flatten(2).transpose(1, 2)
        seen = functional.scaled_dot_product_attention(self.query(cells), words, words)
        told = self.value(seen).transpose(1, 2).reshape(latent.shape)
        target = torch.tanh(self.mix(self.blur(latent)) + told)
        return torch.lerp(latent, target, step)

    def decode(self, latent: Tensor, words: Tensor) -> Tensor:
        """Latent (1, C, h, w) -> pixels (1, 3, 8h, 8w) in 0..1."""
        smooth = functional.interpolate(latent, scale_factor=SCALE, mode="bicubic", align_corners=False)
        height, width = smooth.shape[-2:]
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        place = torch.stack((x, y, torch.hypot(x, y))).unsqueeze(0).to(smooth)
        gain, shift = self.style(words.mean(dim=1)).reshape(2, 1, 48, 1, 1)
        paint = torch.sin(self.enter(torch.cat((smooth * 2.5, 2 * place), dim=1)) * (1.5 + gain.abs()) + 2 * shift)
        for layer in self.layers:
            paint = torch.tanh(layer(paint) + 0.3 * paint)
        # Three phases of one wave make related colours; the last channel is the light.
        hue, spread, light = self.leave(paint).unbind(dim=1)
        phases = torch.tensor([0.0, 0.9, 1.8]).reshape(1, 3, 1, 1).to(hue) * torch.tanh(spread).unsqueeze(1)
        colour = 0.5 + 0.5 * torch.cos(1.2 * hue.unsqueeze(1) + phases + shift[0, 0])
        return (colour * (0.55 + 0.45 * torch.sigmoid(2 * light).unsqueeze(1))).clamp(0, 1)


def load_model(checkpoint: Path, *, always_cpu: bool) -> tuple[Painter, torch.device]:
    """The network with the checkpoint's weights, on the GPU where there is one. Writes the checkpoint if it is missing.

    Raises RuntimeError or pickle.UnpicklingError for a file that holds other weights or more than weights.
    """
    if not checkpoint.exists():
        _write_checkpoint(checkpoint)
    model = Painter()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
    gpu = not always_cpu and torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    return model.eval().requires_grad_(False).to(device), device


def _write_checkpoint(checkpoint: Path) -> None:
    source = torch.Generator().manual_seed(5_1)
    weights = {}
    for name, weight in Painter().state_dict().items():
        fan_in = weight[0].numel() if weight.ndim > 1 else 4
        gain = 2.2 if name.startswith(("enter", "layers", "leave", "style")) else 1.6
        weights[name] = torch.randn(weight.shape, generator=source) * gain / fan_in**0.5
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
    blur = torch.outer(kernel, kernel) / 256
    weights["blur.weight"] = torch.einsum("oi,hw->oihw", torch.eye(LATENT_CHANNELS), blur).contiguous()
    temporary = checkpoint.with_name(f".{checkpoint.name}.{os.getpid()}.tmp")
    torch.save(weights, temporary)
    os.replace(temporary, checkpoint)


def read_words(prompt: str) -> Tensor:
    """One vector a word (1, n, WORD_SIZE), drawn from the word's own hash; the empty prompt has one word."""
    vectors = []
    for word in prompt.lower().split() or [""]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") >> 1
        vectors.append(torch.randn(WORD_SIZE, generator=torch.Generator().manual_seed(seed)))
    return torch.stack(vectors).unsqueeze(0)


@torch.inference_mode()
def paint(model: Painter, device: torch.device, *, prompt: str, seed: int, steps: int, width: int, height: int,
          progress=None) -> Image.Image:
    """The picture. `width` and `height` are multiples of 8; `progress(done, steps)` is called after each step."""
    words = read_words(prompt).to(device)
    source = torch.Generator().manual_seed(seed)
    cells = height // SCALE, width // SCALE
    coarse = 1, LATENT_CHANNELS, cells[0] // 16 + 2, cells[1] // 16 + 2
    latent = torch.zeros((1, LATENT_CHANNELS, *cells), device=device)
    for done in range(1, steps + 1):
        # New noise before each step, as in ancestral sampling, so that the seed is not forgotten on the way.
        noise = functional.interpolate(torch.randn(coarse, generator=source), cells, mode="bicubic").to(device)
        latent = model.denoise(latent + noise * (0.8 - 0.5 * done / steps), words, 0.6)
        if progress is not None:
            progress(done, steps)
    pixels = model.decode(latent, words)[0].permute(1, 2, 0).mul(255).round().to("cpu", torch.uint8)
    return Image.fromarray(numpy.asarray(pixels), "RGB")

"""One request from the page or the API: check it, paint, write what Forge writes."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from modules import generator, images, paths
from modules.hashes import model_hash
from modules.options import Options


class BadRequest(ValueError):
    """A value of the request is out of range; the text names it."""


@dataclass(frozen=True)
class Request:
    """What to paint. A seed of -1 means: choose one."""

    prompt: str
    negative_prompt: str = ""
    seed: int = -1
    steps: int = 12
    width: int = 512
    height: int = 512

    def __post_init__(self) -> None:
        """Raise BadRequest for what the generator cannot do."""
        if not -1 <= self.seed < 2**63:
            raise BadRequest("seed: from -1 to 2**63 - 1")
        if not 1 <= self.steps <= 150:
            raise BadRequest("steps: from 1 to 150")
        for name, pixels in (("width", self.width), ("height", self.height)):
            if not 64 <= pixels <= 2048 or pixels % generator.SCALE:
                raise BadRequest(f"{name}: from 64 to 2048, a multiple of {generator.SCALE}")


@dataclass(frozen=True)
class Result:
    """A picture, the seed it was painted with, its infotext, and its file where it was saved."""

    image: Image.Image
    seed: int
    infotext: str
    file: Path | None


class Processor:
    """Paints one request at a time and knows how far it is."""

    def __init__(self, options: Options, *, always_cpu: bool, keep_prompt: bool) -> None:
        self._options = options
        self._keep_prompt = keep_prompt
        self._lock = threading.Lock()
        self.progress = 0.0
        self.checkpoint = paths.checkpoints_path / options["sd_model_checkpoint"]
        self._model, self._device = generator.load_model(self.checkpoint, always_cpu=always_cpu)
        self._model_hash = model_hash(self.checkpoint)
        print(f"Model {self.checkpoint.name} [{self._model_hash}] on {self._device}", flush=True)

    def run(self, request: Request) -> Result:
        """Paint; writes outputs/ (if samples_save) and params.txt."""
        seed = request.seed if request.seed >= 0 else secrets.randbelow(2**32)
        with self._lock:
            try:
                image = generator.paint(self._model, self._device, prompt=request.prompt, seed=seed, steps=request.steps,
                                        width=request.width, height=request.height, progress=self._step)
            finally:
                self.progress = 0.0
        infotext = self._infotext(request, seed)
        if self._keep_prompt:
            paths.write_text(paths.params_file, infotext)
        file = None
        if self._options["samples_save"]:
            file = images.save(image, Path(self._options["outdir_txt2img_samples"]), seed, self._noted(infotext))
        return Result(image, seed, infotext, file)

    def keep(self, image_file: Path, infotext: str) -> Path:
        """Copy a picture to log/images and note it in log.csv (the Save button)."""
        return images.keep(image_file, Path(self._options["outdir_save"]), infotext)

    def _step(self, done: int, steps: int) -> None:
        self.progress = done / steps

    def _noted(self, infotext: str) -> str | None:
        return infotext if self._options["enable_pnginfo"] else None

    def _infotext(self, request: Request, seed: int) -> str:
        lines = [request.prompt]
        if request.negative_prompt:
            lines.append(f"Negative prompt: {request.negative_prompt}")
        lines.append(f"Steps: {request.steps}, Sampler: Stand-in, Seed: {seed}, Size: {request.width}x{request.height}, "
                     f"Model hash: {self._model_hash}, Model: {self.checkpoint.stem}")
        return "\n".join(lines)

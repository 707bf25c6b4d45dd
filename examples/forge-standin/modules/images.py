"""Pictures on disk: outputs/txt2img-images/<date>/<number>-<seed>.png, and log/images for those worth keeping."""

from __future__ import annotations

import base64
import csv
import io
import os
import shutil
import time
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo


def encode_png(image: Image.Image, infotext: str | None) -> bytes:
    """PNG bytes; the infotext goes into a text chunk named "parameters", where Forge's tools look for it."""
    note = PngInfo()
    if infotext is not None:
        note.add_text("parameters", infotext)
    stream = io.BytesIO()
    image.save(stream, format="PNG", pnginfo=note)
    return stream.getvalue()


def encode_base64(image: Image.Image, infotext: str) -> str:
    """What the API answers with."""
    return base64.b64encode(encode_png(image, infotext)).decode("ascii")


def save(image: Image.Image, folder: Path, seed: int, infotext: str | None) -> Path:
    """Write one new file under `folder`; two writers never take the same name."""
    dated = folder / time.strftime("%Y-%m-%d")
    dated.mkdir(parents=True, exist_ok=True)
    content = encode_png(image, infotext)
    number = sum(1 for _ in dated.iterdir())
    while True:
        file = dated / f"{number:05}-{seed}.png"
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        return file


def keep(image_file: Path, folder: Path, infotext: str) -> Path:
    """Copy a saved picture to `folder` and add a line to its log.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / image_file.name
    shutil.copyfile(image_file, target)
    log = folder / "log.csv"
    first = not log.exists()
    with log.open("a", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        if first:
            writer.writerow(("filename", "infotext"))
        writer.writerow((target.name, infotext))
    return target

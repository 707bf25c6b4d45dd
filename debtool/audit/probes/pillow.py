"""Pillow: codecs, filters, resampling, drawing."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps


def _picture(mode: str = "RGB", size: tuple[int, int] = (61, 43)) -> Any:
    """Return a picture that is the same on every CPU."""
    count = size[0] * size[1] * len(mode)
    return Image.frombytes(mode, size, bytes((i * 7919 // 13) % 256 for i in range(count)))


def _digest(image: Any) -> Any:
    data = image.convert("RGBA").tobytes()
    return [image.size, image.mode, sum(data), sum(i % 251 * value for i, value in enumerate(data))]


def codecs() -> Any:
    """Writing and reading each format; lossy ones are compared with the same code natively, to the bit."""
    found = []
    for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000"):
        file = io.BytesIO()
        _picture().save(file, name)
        found.append([name, _digest(Image.open(io.BytesIO(file.getvalue())))])
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg"):
        file = io.BytesIO()
        _picture().save(file, "TIFF", compression=compression)
        found.append([compression, _digest(Image.open(io.BytesIO(file.getvalue())))])
    return found


def resampling() -> Any:
    """Every resampling filter, up and down."""
    kinds = (Image.NEAREST, Image.BOX, Image.BILINEAR, Image.HAMMING, Image.BICUBIC, Image.LANCZOS)
    return [_digest(_picture().resize(size, kind)) for kind in kinds for size in ((90, 30), (20, 70))]


def filters() -> Any:
    """Convolution, blur, median, enhancement."""
    image = _picture()
    kinds = [
        ImageFilter.BLUR,
        ImageFilter.SHARPEN,
        ImageFilter.MedianFilter(3),
        ImageFilter.GaussianBlur(2),
        ImageFilter.UnsharpMask(),
    ]
    found = [image.filter(kind) for kind in kinds]
    return [
        _digest(one)
        for one in [*found, ImageEnhance.Color(image).enhance(1.5), ImageEnhance.Contrast(image).enhance(0.7)]
    ]


def geometry() -> Any:
    """Rotating, transforming, cropping, composing."""
    image = _picture()
    found = [
        image.rotate(30, Image.BICUBIC),
        image.transform((40, 40), Image.AFFINE, (1, 0.2, 0, 0.1, 1, 3), Image.BILINEAR),
        ImageOps.mirror(image),
    ]
    found += [
        Image.alpha_composite(_picture("RGBA"), _picture("RGBA").rotate(180)),
        ImageChops.multiply(image, image.rotate(180)),
        ImageOps.autocontrast(image),
    ]
    return [
        _digest(one)
        for one in [
            *found,
            Image.blend(image, image.rotate(180), 0.3),
            image.quantize(16),
            image.convert("CMYK"),
            image.convert("L"),
        ]
    ]


def drawing() -> Any:
    """Lines, ellipses, text."""
    image = _picture()
    draw = ImageDraw.Draw(image)
    draw.line((0, 0, 60, 40), fill="red", width=3)
    draw.ellipse((5, 5, 40, 30), outline="blue", fill="green")
    draw.text((3, 3), "Westmere", font=ImageFont.load_default())
    return [_digest(image), image.histogram()[:20]]

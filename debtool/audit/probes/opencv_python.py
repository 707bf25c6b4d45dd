"""OpenCV: its universal intrinsics, which it compiles for several CPUs, IPP, codecs, DNN."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

TOLERANCE = 1e-4


def _picture(height: int = 61, width: int = 83, kind: Any = np.uint8) -> Any:
    return ((np.arange(height * width * 3) * 7919 // 13) % 256).astype(kind).reshape(height, width, 3)


def _digest(array: Any) -> Any:
    flat = np.asarray(array).astype(np.float64).reshape(-1)
    return [list(np.shape(array)), flat.mean(), (flat * np.cos(np.arange(flat.size))).mean()]


def colours() -> Any:
    """Conversions between colour spaces."""
    codes = ("GRAY", "HSV", "Lab", "YUV", "YCrCb", "XYZ", "HLS", "RGBA")
    return [_digest(cv2.cvtColor(_picture(), getattr(cv2, f"COLOR_BGR2{code}"))) for code in codes]


def filters() -> Any:
    """Filters and morphology, of bytes and of singles."""
    found = []
    for x in (_picture(), _picture(kind=np.float32)):
        found += [
            cv2.GaussianBlur(x, (5, 5), 1.2),
            cv2.blur(x, (3, 3)),
            cv2.Sobel(x, -1, 1, 0),
            cv2.Laplacian(x, -1),
            cv2.medianBlur(x, 3),
        ]
        found += [
            cv2.dilate(x, np.ones((3, 3))),
            cv2.erode(x, np.ones((3, 3))),
            cv2.filter2D(x, -1, np.ones((3, 3)) / 9),
            cv2.boxFilter(x, -1, (5, 5)),
        ]
    return [
        _digest(one) for one in [*found, cv2.bilateralFilter(_picture(), 5, 30, 30), cv2.Canny(_picture(), 50, 150)]
    ]


def geometry() -> Any:
    """Resizing, warping, remapping."""
    x = _picture()
    kinds = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4)
    found = [cv2.resize(x, size, interpolation=kind) for kind in kinds for size in ((40, 30), (130, 99))]
    matrix = cv2.getRotationMatrix2D((30, 30), 20, 1.1)
    found += [
        cv2.warpAffine(x, matrix, (70, 70)),
        cv2.flip(x, 1),
        cv2.transpose(x),
        cv2.pyrDown(x),
        cv2.pyrUp(x),
        cv2.rotate(x, cv2.ROTATE_180),
    ]
    return [
        _digest(one)
        for one in [
            *found,
            cv2.warpPerspective(x, np.eye(3), (50, 50)),
            cv2.copyMakeBorder(x, 2, 2, 2, 2, cv2.BORDER_REFLECT),
        ]
    ]


def arithmetic() -> Any:
    """Elementwise operations and reductions, in each depth."""
    found = []
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32, np.float64):
        x, y = _picture(kind=kind), _picture(kind=kind)[::-1].copy()
        found += [
            cv2.add(x, y),
            cv2.subtract(x, y),
            cv2.multiply(x, y),
            cv2.absdiff(x, y),
            cv2.max(x, y),
            cv2.addWeighted(x, 0.25, y, 0.75, 1),
            cv2.compare(x, y, 1),
        ]
        found += [
            cv2.norm(x),
            cv2.mean(x),
            cv2.minMaxLoc(x[:, :, 0])[:2],
            cv2.reduce(x.astype(np.float32), 0, cv2.REDUCE_AVG),
        ]
    f = _picture(kind=np.float32) / 300 + 0.1
    return [
        _digest(one)
        for one in [
            *found,
            cv2.exp(f),
            cv2.log(f),
            cv2.sqrt(f),
            cv2.pow(f, 1.7),
            cv2.magnitude(f, f),
            cv2.phase(f, f),
            cv2.integral(_picture()),
        ]
    ]


def codecs() -> Any:
    """Writing and reading pictures."""
    return [
        _digest(cv2.imdecode(cv2.imencode(ending, _picture())[1], 1))
        for ending in (".png", ".jpg", ".webp", ".tiff", ".bmp", ".jp2")
    ]


def features() -> Any:
    """Key points, matching, contours, flow."""
    gray = cv2.GaussianBlur(cv2.cvtColor(_picture(120, 160), cv2.COLOR_BGR2GRAY), (5, 5), 2)
    contours = cv2.findContours((gray > 128).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    found = [
        len(contours),
        sum(map(cv2.contourArea, contours)),
        len(cv2.ORB_create().detect(gray)),
        len(cv2.SIFT_create().detect(gray)) >= 0,
    ]
    flow = cv2.calcOpticalFlowFarneback(gray, np.roll(gray, 2, 1), None, 0.5, 2, 9, 2, 5, 1.1, 0)
    return [
        *found,
        round(float(np.abs(flow).mean()), 1),
        _digest(cv2.matchTemplate(gray, gray[10:30, 10:40], cv2.TM_CCOEFF_NORMED)),
        _digest(cv2.equalizeHist(gray)),
    ]


def mathematics() -> Any:
    """Fourier and cosine transforms, products, solving."""
    x = _picture(32, 32, np.float32)[:, :, 0] / 255 + 3 * np.eye(32, dtype=np.float32)
    found = [
        cv2.dft(x),
        cv2.dct(x),
        cv2.gemm(x, x, 1.0, None, 0.0),
        cv2.invert(x)[1],
        cv2.solve(x, x[:, :1])[1],
        cv2.SVDecomp(x)[0],
        cv2.calcHist([_picture()], [0], None, [16], [0, 256]),
    ]
    return [_digest(one) for one in found]


def networks() -> Any:
    """What a network's input goes through."""
    return _digest(cv2.dnn.blobFromImage(_picture(), 1 / 255, (32, 32), (1, 2, 3), swapRB=True))

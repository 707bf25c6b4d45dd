"""NumPy: its loops for each type, OpenBLAS and LAPACK, FFTs, sorting, random numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

TOLERANCE = 1e-5
TOLERANCES = {"half": 1e-2, "linear_algebra": 1e-4, "single": 1e-4}


def _wave(*shape: int, dtype: Any = np.float64) -> Any:
    """Return numbers that are the same on every CPU, between -1 and 1."""
    count = int(np.prod(shape))
    return (((np.arange(count) * 7919) % 2003) / 1001.0 - 1.0).reshape(shape).astype(dtype)


def _digest(array: Any) -> Any:
    flat = np.asarray(array).reshape(-1)
    if flat.dtype.kind == "c":
        flat = np.concatenate([flat.real, flat.imag])
    flat = flat.astype(np.float64)
    return [flat.mean(), (flat * np.cos(np.arange(flat.size))).mean(), flat[:6], flat[-6:]]


def _unary(dtype: Any) -> Any:
    x, y = _wave(517, dtype=dtype), np.abs(_wave(517, dtype=dtype)) + dtype(0.05)
    any_number = [
        np.exp,
        np.exp2,
        np.expm1,
        np.sin,
        np.cos,
        np.tan,
        np.tanh,
        np.sinh,
        np.arctan,
        np.abs,
        np.sign,
        np.square,
    ]
    any_number += [
        np.floor,
        np.ceil,
        np.trunc,
        np.rint,
        np.negative,
        np.arcsin,
        np.arccos,
        np.arcsinh,
        np.cbrt,
        np.spacing,
    ]
    positive = [np.log, np.log2, np.log10, np.log1p, np.sqrt, np.reciprocal]
    with np.errstate(all="ignore"):
        return [_digest(f(x)) for f in any_number] + [_digest(f(y)) for f in positive]


def double() -> Any:
    """Functions of one double."""
    return _unary(np.float64)


def single() -> Any:
    """Functions of one single."""
    return _unary(np.float32)


def half() -> Any:
    """Functions of one half, which newer CPUs convert by F16C."""
    return [_digest(f(_wave(301, dtype=np.float16))) for f in (np.exp, np.sin, np.tanh, np.square, np.abs)]


def binary() -> Any:
    """Functions of two numbers, in every type."""
    found = []
    for code in "bBhHiIlLqQefdgFD":
        x = (np.arange(203) % 13 + 1).astype(code)
        y = (np.arange(203) % 7 + 1).astype(code)
        found += [_digest(f(x, y)) for f in (np.add, np.subtract, np.multiply, np.true_divide, np.power)]
        found += [_digest(f(x, y)) for f in (np.equal, np.less, np.maximum, np.minimum, np.not_equal)]
        if code not in "FD":
            found += [
                _digest(f(x, y))
                for f in (np.floor_divide, np.remainder, np.fmod, np.heaviside)
                if f is not np.heaviside or code in "efdg"
            ]
        if code in "efdg":
            found += [_digest(f(x, y)) for f in (np.arctan2, np.hypot, np.copysign, np.logaddexp, np.nextafter)]
    return found


def bits() -> Any:
    """Operations on bits, shifts, packing."""
    found = []
    for code in "bBhHiIlL":
        x, y = (np.arange(211) % 101).astype(code), (np.arange(211) % 7).astype(code)
        found += [
            _digest(f(x, y))
            for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift, np.gcd)
        ]
        found.append(_digest(np.invert(x)))
    flags = (np.arange(333) % 3) == 0
    return [
        *found,
        _digest(np.packbits(flags)),
        _digest(np.unpackbits(np.arange(50, dtype=np.uint8))),
        np.count_nonzero(flags),
    ]


def reductions() -> Any:
    """Sums and their like, contiguous and not."""
    found = []
    for dtype in (np.float64, np.float32, np.int32, np.uint8, np.complex64):
        x = (_wave(61, 83) * 50).astype(dtype)
        for one in (x, x.T, x[::2, ::3]):
            found += [_digest(f(one, axis=axis) / 50) for f in (np.sum, np.mean, np.cumsum) for axis in (0, 1)]
            if dtype is not np.complex64:
                found += [_digest(f(one, axis=0)) for f in (np.max, np.min, np.argmax, np.argmin, np.ptp)]
    return [
        *found,
        np.any(_wave(99) > 0.99),
        np.all(_wave(99) < 2),
        _digest(np.std(_wave(50, 9), 0)),
        np.median(_wave(101)),
    ]


def products() -> Any:
    """Matrices and vectors, by OpenBLAS and without it."""
    found = []
    for dtype in (np.float32, np.float64, np.complex64, np.complex128, np.int32, np.float16):
        a, b = (_wave(67, 129) * 4).astype(dtype), (_wave(129, 35) * 4).astype(dtype)
        found += [
            _digest(a @ b / 64),
            _digest(a @ b[:, 0] / 64),
            _digest(np.dot(a[0], b[:, 0]) / 64),
            _digest(a @ a.T / 64),
        ]
    return [
        *found,
        _digest(np.einsum("ij,kj->ik", _wave(9, 8), _wave(7, 8))),
        _digest(np.tensordot(_wave(3, 4, 5), _wave(5, 4, 2), ([1, 2], [1, 0]))),
    ]


def linear_algebra() -> Any:
    """LAPACK: what has a unique answer, in both precisions."""
    found = []
    for dtype in (np.float64, np.float32):
        x = (_wave(40, 40) + 8 * np.eye(40)).astype(dtype)
        s = x @ x.T
        found += [
            np.linalg.inv(x),
            np.linalg.solve(x, _wave(40, 3).astype(dtype)),
            np.linalg.svd(x, compute_uv=False),
            np.linalg.eigvalsh(s),
        ]
        found += [
            np.linalg.cholesky(s),
            np.abs(np.linalg.qr(x)[1]),
            np.linalg.slogdet(x)[1],
            np.linalg.pinv(x),
            np.linalg.norm(x),
        ]
        found += [np.sort(np.linalg.eigvals(s).real), np.linalg.lstsq(x, _wave(40, 2).astype(dtype), rcond=None)[0]]
    return [_digest(one) for one in found]


def fourier() -> Any:
    """FFTs."""
    found = [_digest(np.fft.fft(_wave(size))) for size in (64, 100, 127, 1000)]
    return [*found, _digest(np.fft.irfft(np.fft.rfft(_wave(90)))), _digest(np.fft.fft2(_wave(12, 15)))]


def sorting() -> Any:
    """Sorting, with its own code for AVX-512 and AVX2, selecting, searching."""
    found = []
    for code in "bBhHiIlLefdFD":
        x = (_wave(1531) * 100).astype("d").astype(code)
        found += [_digest(np.sort(x)), _digest(np.sort(x, kind="stable")), _digest(x[np.argsort(x)])]
        found += [
            _digest(np.partition(x, 300)[:300].sum()),
            _digest(np.unique(x)),
            _digest(x[np.argpartition(x, 40)[40]]),
        ]
    return [
        *found,
        np.searchsorted(np.sort(_wave(300)), _wave(40)),
        np.histogram(_wave(400), 9)[0],
        np.bincount(np.arange(50) % 9),
    ]


def indexing() -> Any:
    """Taking, putting, choosing, copying with strides."""
    x, places = _wave(40, 50), np.arange(30) * 7 % 40
    found = [
        x[places],
        x[:, ::-1],
        x.take(places),
        np.where(x > 0, x, -x),
        x[x > 0.5],
        np.roll(x, 3),
        np.repeat(x, 2, 0),
    ]
    return [
        _digest(one)
        for one in [
            *found,
            np.ascontiguousarray(x.T),
            np.tile(x, 2),
            np.clip(x, -0.5, 0.5),
            np.interp(_wave(9), np.arange(5), np.arange(5)),
        ]
    ]


def casts() -> Any:
    """Conversions between all types."""
    codes = "?bBhHiIlLefdg"
    x = np.arange(131) % 50
    return [_digest(x.astype(one).astype(other)) for one in codes for other in codes]


def random_numbers() -> Any:
    """Every generator gives the same numbers on every CPU."""
    found = []
    for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        generator = np.random.Generator(kind(5))
        found += [
            generator.random(50),
            generator.standard_normal(50),
            generator.integers(0, 1000, 50),
            generator.exponential(size=20),
        ]
        found += [
            generator.gamma(2.0, size=20),
            generator.binomial(20, 0.4, 20),
            generator.permutation(30),
            generator.poisson(4, 20),
        ]
    np.random.seed(3)
    return [_digest(one) for one in [*found, np.random.rand(20), np.random.randn(20), np.random.randint(0, 9, 20)]]


def text() -> Any:
    """Strings, dates, files."""
    words = np.array(["b", "aa", "c"])
    file = io.BytesIO()
    np.savez_compressed(file, a=_wave(50))
    file.seek(0)
    days = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    return [np.char.upper(words), np.sort(words), _digest(np.load(file)["a"]), str(days[-1]), np.is_busday(days).sum()]


def polynomials() -> Any:
    """Polynomials, convolution, windows."""
    found = [
        np.polyfit(np.arange(9.0), _wave(9), 3),
        np.convolve(_wave(50), _wave(9)),
        np.correlate(_wave(50), _wave(9)),
        np.hanning(20),
        np.kaiser(20, 5),
        np.i0(_wave(9)),
    ]
    return [_digest(one) for one in found]

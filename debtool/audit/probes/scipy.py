"""SciPy: its own OpenBLAS, ARPACK, FFTs, sparse and special functions, and the rest by a small use of each."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = 1e-5
TOLERANCES = {"optimising": 1e-3}


def _wave(*shape: int) -> Any:
    """Return numbers that are the same on every CPU, between -1 and 1."""
    return (((np.arange(int(np.prod(shape))) * 7919) % 2003) / 1001.0 - 1.0).reshape(shape)


def linear_algebra() -> Any:
    """scipy.linalg."""
    from scipy import linalg

    x = _wave(30, 30) + 6 * np.eye(30)
    found = [
        linalg.inv(x),
        linalg.expm(x / 9),
        linalg.svdvals(x),
        linalg.solve(x, _wave(30)),
        linalg.lu(x)[2],
        linalg.sqrtm(x @ x.T).real,
    ]
    found += [
        linalg.eigvalsh(x @ x.T),
        linalg.cholesky(x @ x.T),
        linalg.solve_toeplitz(np.arange(9, 0, -1.0), _wave(9)),
        linalg.blas.sgemm(1.0, x, x),
    ]
    return [[one.mean(), one.reshape(-1)[:5]] for one in found]


def fourier() -> Any:
    """scipy.fft, in both precisions."""
    from scipy import fft

    found = [np.abs(fft.fft(_wave(size).astype(kind))) for size in (64, 105, 127) for kind in ("f", "d")]
    return [
        [one.mean(), one[:5]]
        for one in [*found, fft.dct(_wave(50)), fft.dst(_wave(50)), fft.irfft(fft.rfft(_wave(60)))]
    ]


def sparse() -> Any:
    """scipy.sparse: products, SuperLU, ARPACK, graphs."""
    from scipy import sparse
    from scipy.sparse import csgraph, linalg

    dense = _wave(60, 60) * (np.abs(_wave(60, 60)) > 0.7) + 10 * np.eye(60)
    x = sparse.csc_matrix(dense)
    found = [
        x @ _wave(60),
        linalg.spsolve(x, _wave(60)),
        np.sort(linalg.eigsh(x @ x.T, k=3, v0=np.ones(60))[0]),
        linalg.gmres(x, _wave(60), atol=1e-9)[0],
    ]
    return [*found, (x @ x).sum(), csgraph.shortest_path(abs(x)).mean()]


def special() -> Any:
    """scipy.special."""
    from scipy import special

    x = np.abs(_wave(101)) + 0.05
    names = (
        "gamma",
        "gammaln",
        "erf",
        "erfinv",
        "j0",
        "j1",
        "i0",
        "k0",
        "digamma",
        "expit",
        "ndtr",
        "zeta",
        "ellipk",
        "lambertw",
        "sinc",
    )
    return [
        np.real(getattr(special, name)(x + 1 if name == "zeta" else x * 0.9)).mean()
        for name in names
        if hasattr(special, name)
    ]


def optimising() -> Any:
    """scipy.optimize."""
    from scipy import optimize

    found = [
        optimize.minimize(lambda v: ((v - 2) ** 2).sum(), np.zeros(3), method=kind).x
        for kind in ("BFGS", "L-BFGS-B", "Nelder-Mead", "SLSQP")
    ]
    found += [
        optimize.linprog([1, 2], A_ub=[[-1, -1]], b_ub=[-1]).x,
        [optimize.brentq(lambda v: v**3 - 2, 0, 2)],
        optimize.nnls(np.abs(_wave(5, 3)), np.ones(5))[0],
    ]
    return [
        *found,
        optimize.linear_sum_assignment(_wave(7, 7))[1],
        optimize.least_squares(lambda v: v - 3, np.zeros(2)).x,
    ]


def signals() -> Any:
    """scipy.signal and scipy.ndimage."""
    from scipy import ndimage, signal

    x, image = _wave(200), _wave(20, 25)
    found = [
        signal.lfilter([1, 0.5], [1, -0.2], x),
        signal.fftconvolve(x, _wave(9)),
        signal.medfilt(x),
        signal.resample(x, 77),
        signal.savgol_filter(x, 9, 2),
    ]
    found += [
        ndimage.gaussian_filter(image, 1.2),
        ndimage.zoom(image, 1.4),
        ndimage.rotate(image, 20),
        ndimage.label(image > 0)[0],
        ndimage.distance_transform_edt(image > 0),
    ]
    return [[np.asarray(one).mean(), np.asarray(one).reshape(-1)[:5]] for one in found]


def interpolating() -> Any:
    """scipy.interpolate and scipy.integrate."""
    from scipy import integrate, interpolate

    x = np.arange(12.0)
    found = [
        interpolate.CubicSpline(x, _wave(12))(x[:-1] + 0.3),
        interpolate.interp1d(x, _wave(12), "quadratic")(x[:-1] + 0.3),
    ]
    found += [
        interpolate.griddata(_wave(30, 2), _wave(30), _wave(5, 2) / 9),
        interpolate.splev(x[:-1] + 0.4, interpolate.splrep(x, _wave(12))),
    ]
    return [*found, integrate.quad(np.cos, 0, 1)[0], integrate.solve_ivp(lambda _, y: -y, (0, 1), [1.0]).y[:, -1]]


def neighbours() -> Any:
    """scipy.spatial, scipy.cluster and scipy.stats."""
    from scipy import stats
    from scipy.cluster import hierarchy
    from scipy.spatial import ConvexHull, Delaunay, cKDTree, distance

    points = _wave(60, 3)
    found = [
        cKDTree(points).query(points[:9] + 0.01, k=3)[0],
        distance.pdist(points).mean(),
        ConvexHull(points).volume,
        len(Delaunay(points).simplices),
    ]
    found += [
        hierarchy.linkage(points, "average")[:, 2],
        stats.norm.ppf(np.abs(points[:5]) / 2 + 0.2),
        stats.ttest_ind(points[:, 0], points[:, 1])[0],
    ]
    return [*found, stats.gaussian_kde(points.T)(points[:4].T), stats.rankdata(points[:, 0]), stats.beta.cdf(0.4, 2, 3)]

"""pandas: reading, grouping, joining, dates, rolling windows, writing."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd

TOLERANCE = 1e-6


def _frame() -> Any:
    x = ((np.arange(300) * 7919) % 2003) / 1001.0 - 1
    return pd.DataFrame({"x": x, "k": np.arange(300) % 7, "w": [f"w{i % 5}" for i in range(300)]})


def grouping() -> Any:
    """Groups, pivots, joins, sorting."""
    frame = _frame()
    groups = frame.groupby("k")["x"]
    found = [
        groups.sum(),
        groups.mean(),
        groups.std(),
        groups.median(),
        groups.rank(),
        groups.cumsum(),
        groups.quantile(0.3),
    ]
    found += [
        frame.pivot_table(values="x", index="k", columns="w").fillna(0),
        frame.merge(frame.head(9), on="k")["x_x"],
    ]
    return [
        np.asarray(one).reshape(-1)[:20]
        for one in [*found, frame.sort_values(["w", "x"])["x"], frame["w"].value_counts().sort_index()]
    ]


def windows() -> Any:
    """Rolling and exponential windows, interpolation, correlation."""
    x = _frame()["x"]
    found = [
        x.rolling(5).mean(),
        x.rolling(5).std(),
        x.rolling(9).median(),
        x.ewm(span=4).mean(),
        x.where(x > 0).interpolate(),
        x.diff(),
        x.rank(),
    ]
    return [np.nan_to_num(np.asarray(one))[:30] for one in [*found, _frame()[["x", "k"]].corr(), x.describe()]]


def dates() -> Any:
    """Dates, periods, resampling, time zones."""
    times = pd.date_range("2020-01-01", periods=300, freq="h", tz="UTC")
    series = pd.Series(_frame()["x"].to_numpy(), index=times)
    return [
        series.resample("D").sum().to_numpy(),
        str(times[5].tz_convert("Asia/Tokyo")),
        str(pd.to_datetime("3 May 2021")),
        str(pd.Timedelta("3h")),
    ]


def files() -> Any:
    """CSV and JSON, there and back."""
    text = _frame().to_csv(index=False, float_format="%.6f")
    back = pd.read_csv(io.StringIO(text))
    return [back["x"].sum(), back.dtypes.astype(str).tolist(), len(_frame().head(20).to_json())]


def text() -> Any:
    """Strings, categories, expressions."""
    frame = _frame()
    return [
        frame["w"].str.upper().iloc[:5].tolist(),
        frame["w"].astype("category").cat.codes.sum(),
        frame.query("x > 0.5 and k == 3")["x"].sum(),
        frame.eval("x * 2 + k").sum(),
    ]

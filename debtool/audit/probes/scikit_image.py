"""scikit-image: a small use of each part."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCE = 1e-4


def _picture() -> Any:
    return (((np.arange(64 * 80) * 7919) % 2003) / 2003.0).reshape(64, 80)


def filters() -> Any:
    """Filters, morphology, exposure, restoration."""
    from skimage import exposure, filters, morphology, restoration

    x = _picture()
    found = [
        filters.gaussian(x, 1.5),
        filters.sobel(x),
        filters.median(x),
        exposure.equalize_hist(x),
        restoration.denoise_tv_chambolle(x, 0.1),
    ]
    return [
        np.asarray(one, float).mean()
        for one in [*found, morphology.dilation(x), morphology.skeletonize(x > 0.5), filters.threshold_otsu(x)]
    ]


def geometry() -> Any:
    """Resizing, rotating, colours, features, labels."""
    from skimage import color, feature, measure, transform

    x = _picture()
    found = [
        transform.resize(x, (40, 50)),
        transform.rotate(x, 20),
        color.rgb2lab(np.stack([x, x, 1 - x], -1)),
        feature.hog(x),
        measure.label(x > 0.8),
    ]
    return [
        np.asarray(one, float).mean()
        for one in [
            *found,
            feature.canny(x),
            feature.local_binary_pattern((x * 255).astype(np.uint8), 8, 1.0),
            measure.find_contours(x, 0.9)[0],
        ]
    ]


def segments() -> Any:
    """Segmentation."""
    from skimage import segmentation

    x = _picture()
    return [
        np.asarray(one, float).mean()
        for one in (segmentation.felzenszwalb(x), segmentation.watershed(x), segmentation.slic(x, 9, channel_axis=None))
    ]

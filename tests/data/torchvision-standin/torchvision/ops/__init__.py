"""Operators."""

from torchvision import _C


def nms(boxes: list[list[float]], scores: list[float], threshold: float) -> list[int]:
    """Return the boxes that stay, the best first: none overlaps a better one by more than ``threshold``."""
    kept: list[int] = _C.nms(boxes, scores, threshold)
    return kept

"""torchvision: its own operators, transforms and a model."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torchvision.transforms import v2

TOLERANCE = 1e-3


def operators() -> Any:
    """Its compiled operators, forward and back."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
    x = (((torch.arange(2 * 3 * 32 * 32) * 7919) % 2003) / 1001.0 - 1).reshape(2, 3, 32, 32).requires_grad_()
    rois = [boxes[:2], boxes[2:]]
    found = [f(x, rois, 4) for f in (torchvision.ops.roi_align, torchvision.ops.roi_pool)]
    found.append(torchvision.ops.deform_conv2d(x, torch.full((2, 18, 30, 30), 0.2), torch.full((4, 3, 3, 3), 0.1)))
    gradients = [torch.autograd.grad(one.sum(), x)[0].mean() for one in found]
    return [torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5), *[one.mean() for one in found], *gradients]


def transforms() -> Any:
    """Transforms of a picture."""
    picture = ((torch.arange(3 * 40 * 50) * 7919 // 13) % 256).to(torch.uint8).reshape(3, 40, 50)
    kinds = [
        v2.Resize((20, 30), antialias=True),
        v2.CenterCrop(16),
        v2.Grayscale(),
        v2.GaussianBlur(3, 1.0),
        v2.RandomHorizontalFlip(1.0),
    ]
    return [kind(picture).double().mean() for kind in kinds]


def model() -> Any:
    """A small network's inference."""
    net = torchvision.models.mobilenet_v3_small().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_((((torch.arange(parameter.numel()) * 7919) % 2003) / 20000.0).reshape(parameter.shape))
        return net(torch.ones(1, 3, 64, 64))[0, :5]

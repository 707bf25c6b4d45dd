"""PyTorch, CPU: every family of operations that has code of its own for newer CPUs."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import nn
from torch.nn import functional

WITH = ("numpy",)
TOLERANCE = 2e-4
TOLERANCES = {
    "autocast": 0.05,
    "bfloat16": 0.05,
    "half": 0.02,
    "cnn_training": 5e-3,
    "quantised_linear_fbgemm": 0.05,
    "quantised_linear_onednn": 0.05,
    "quantised_linear_qnnpack": 0.05,
    "quantised_linear_x86": 0.05,
    "quantised_convolution_onednn": 0.05,
    "quantised_convolution_qnnpack": 0.05,
    "quantised_dynamic_fbgemm": 0.05,
    "quantised_dynamic_onednn": 0.05,
    "quantised_dynamic_qnnpack": 0.05,
    "quantised_dynamic_x86": 0.05,
}
REFUSALS = {
    "quantised_linear_fbgemm": "RuntimeError",
    "quantised_linear_x86": "RuntimeError",
    "quantised_dynamic_fbgemm": "RuntimeError",
    "quantised_dynamic_x86": "RuntimeError",
    "quantised_embedding_bag": "RuntimeError",
    "quantised_embedding_bag_4bit": "RuntimeError",
}

_DTYPES = (
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
)


def _wave(*shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Any:
    """Return numbers that are the same on every CPU, between minus and plus ``scale``."""
    count = 1
    for size in shape:
        count *= size
    numbers = (torch.arange(count, dtype=torch.int64) * 7919) % 2003
    return ((numbers.to(torch.float64) / 1001.0 - 1.0) * scale).reshape(shape).to(dtype)


def _digest(tensor: Any) -> Any:
    """Return what little says that a tensor is right: its sums along two ways and some of its numbers."""
    flat = tensor.detach().to(torch.float64).reshape(-1)
    weights = torch.cos(torch.arange(flat.numel(), dtype=torch.float64))
    return [flat.mean(), (flat * weights).mean(), flat[:8], flat[-8:]]


def environment() -> Any:
    """Nothing on this CPU is to be forced: the capability that ATen found is the baseline's."""
    return [torch.zeros(3).add(1), torch.get_num_threads()]


def elementwise() -> Any:
    """Vectorised unary and binary operations."""
    x, y = _wave(1031), _wave(1031, scale=0.9).abs() + 0.05
    unary = [torch.exp, torch.sin, torch.cos, torch.tanh, torch.sigmoid, torch.erf, torch.expm1, torch.atan]
    unary += [torch.sinh, torch.abs, torch.neg, torch.ceil, torch.floor, torch.round, torch.trunc, torch.frac]
    positive = [torch.log, torch.log2, torch.log1p, torch.sqrt, torch.rsqrt, torch.reciprocal, torch.lgamma]
    binary = [torch.add, torch.sub, torch.mul, torch.div, torch.pow, torch.atan2, torch.fmod, torch.hypot]
    binary += [torch.maximum, torch.minimum, torch.copysign, torch.nextafter, torch.logaddexp]
    found = [_digest(f(x)) for f in unary] + [_digest(f(y)) for f in positive]
    return found + [_digest(f(y, x)) for f in binary]


def dtypes() -> Any:
    """Arithmetic, comparison and reduction in every type."""
    found = []
    for dtype in _DTYPES:
        x = (torch.arange(133) % 11).to(dtype)
        y = x + x * 2 - 1
        found.append([str(dtype), torch.view_as_real(y.sum()) if y.is_complex() else y.sum(), (x == y).sum()])
    return found


def casts() -> Any:
    """Conversions between types."""
    x = _wave(517, scale=100.0)
    kinds = [*_DTYPES[:2], *_DTYPES[3:7], torch.float16, torch.bfloat16, torch.bool]
    return [_digest(x.to(kind).to(torch.float32)) for kind in kinds]


def reductions() -> Any:
    """Sums and their like, along both dimensions, contiguous and not."""
    x = _wave(67, 129)
    found = []
    for one in (x, x.t()):
        for dim in (0, 1):
            found += [one.sum(dim), one.mean(dim), one.var(dim), one.norm(dim=dim), one.prod(dim), one.logsumexp(dim)]
            found += [one.amax(dim), one.amin(dim), one.argmax(dim), one.cumsum(dim), one.std(dim)]
    return [_digest(one) for one in found]


def matmul() -> Any:
    """GEMM, GEMV and batches of them, in every type that has them."""
    found = []
    for dtype in (torch.float32, torch.float64, torch.complex64, torch.bfloat16, torch.float16, torch.int32):
        a, b = _wave(37, 65, scale=4).to(dtype), _wave(65, 41, scale=4).to(dtype)
        product = a @ b
        found.append(_digest(torch.view_as_real(product) if product.is_complex() else product)[:1])
    a, b = _wave(129, 257), _wave(257, 63)
    found += [_digest(a @ b), _digest(a @ b[:, 0]), _digest(torch.bmm(_wave(5, 17, 33), _wave(5, 33, 9)))]
    found += [_digest(torch.addmm(_wave(129, 63), a, b)), _digest(torch.einsum("bij,bkj->bik", a[None], a[None]))]
    return found


def int_mm() -> Any:
    """Eight-bit GEMM, which gave a wrong value in silence in 2.4."""
    a = (torch.arange(32 * 64) % 251 - 125).to(torch.int8).reshape(32, 64)
    b = (torch.arange(64 * 48) % 241 - 120).to(torch.int8).reshape(64, 48)
    product = torch._int_mm(a, b)
    return [product.sum(), product[0], product[:, -1]]


def linear_algebra() -> Any:
    """LAPACK: what has a unique answer."""
    x = _wave(24, 24) + 5 * torch.eye(24)
    s = x @ x.t()
    found = [
        torch.linalg.svdvals(x),
        torch.linalg.solve(x, _wave(24, 3)),
        torch.linalg.qr(x)[1].abs(),
        torch.linalg.inv(x),
    ]
    found += [
        torch.linalg.cholesky(s),
        torch.linalg.eigvalsh(s),
        torch.linalg.det(x / 5),
        torch.linalg.lstsq(x, _wave(24, 2))[0],
    ]
    found += [torch.linalg.matrix_exp(x / 9), torch.linalg.pinv(x), torch.linalg.lu_factor(x)[0]]
    found += [torch.linalg.eigvals(s).real.sort()[0], torch.linalg.solve(x.double(), _wave(24, 3, dtype=torch.float64))]
    return [_digest(one) for one in found]


def fourier() -> Any:
    """FFTs of lengths with several kernels."""
    found = []
    for size in (64, 100, 127, 1000):
        found.append(_digest(torch.view_as_real(torch.fft.fft(_wave(size)))))
        found.append(_digest(torch.fft.irfft(torch.fft.rfft(_wave(size)), n=size)))
    found.append(_digest(torch.view_as_real(torch.fft.fft2(_wave(16, 24)))))
    found.append(_digest(torch.stft(_wave(800), 64, window=torch.hann_window(64), return_complex=True).abs()))
    return found


def convolution() -> Any:
    """Convolutions: one, two and three dimensions, grouped, depthwise, dilated, transposed, channels last."""
    x, w = _wave(2, 8, 19, 23), _wave(16, 8, 3, 3)
    found = [functional.conv2d(x, w), functional.conv2d(x, w, padding=1, stride=2), functional.conv2d(x, w, dilation=2)]
    found.append(functional.conv2d(x, _wave(16, 4, 3, 3), groups=2))
    found.append(functional.conv2d(x, _wave(8, 1, 3, 3), groups=8))
    found.append(functional.conv2d(x, _wave(12, 8, 1, 1)))
    found.append(functional.conv2d(x.to(memory_format=torch.channels_last), w))
    found.append(functional.conv1d(_wave(2, 4, 50), _wave(6, 4, 5)))
    found.append(functional.conv3d(_wave(1, 2, 7, 8, 9), _wave(3, 2, 3, 3, 3)))
    found.append(functional.conv_transpose2d(x, _wave(8, 5, 3, 3), stride=2))
    return [_digest(one) for one in found]


def pooling_and_resampling() -> Any:
    """Pooling, interpolation, padding, grid sampling."""
    x = _wave(2, 3, 20, 26)
    found = [functional.max_pool2d(x, 3), functional.avg_pool2d(x, 2), functional.adaptive_avg_pool2d(x, 5)]
    for mode in ("nearest", "bilinear", "bicubic", "area"):
        found.append(functional.interpolate(x, size=(31, 17), mode=mode))
    found.append(functional.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True))
    found.append(functional.interpolate((x * 127 + 127).to(torch.uint8), size=(9, 11), mode="bilinear", antialias=True))
    found += [functional.pad(x, (2, 3, 1, 1), mode=mode) for mode in ("reflect", "replicate", "constant")]
    grid = _wave(2, 8, 9, 2)
    found += [
        functional.grid_sample(x, grid, mode=mode, align_corners=False) for mode in ("bilinear", "nearest", "bicubic")
    ]
    found.append(functional.pixel_shuffle(_wave(1, 12, 5, 5), 2))
    return [_digest(one) for one in found]


def normalisation() -> Any:
    """Batch, layer, group and instance normalisation, forward and back."""
    x = _wave(4, 6, 10, 12).requires_grad_()
    layers = [nn.BatchNorm2d(6), nn.GroupNorm(3, 6), nn.InstanceNorm2d(6), nn.LayerNorm([10, 12])]
    found = []
    for layer in layers:
        y = layer(x)
        (gradient,) = torch.autograd.grad((y * _wave(4, 6, 10, 12)).sum(), x)
        found += [_digest(y), _digest(gradient)]
    return [*found, _digest(functional.rms_norm(x, [12])), _digest(functional.normalize(x, dim=1))]


def activations() -> Any:
    """Activations and losses."""
    x = _wave(33, 47, scale=3)
    names = (
        "relu",
        "gelu",
        "silu",
        "elu",
        "selu",
        "softplus",
        "hardswish",
        "hardsigmoid",
        "mish",
        "leaky_relu",
        "softsign",
        "logsigmoid",
        "celu",
    )
    found = [getattr(functional, name)(x) for name in names]
    found += [
        functional.softmax(x, 1),
        functional.log_softmax(x, 0),
        functional.glu(x[:, :46]),
        functional.gelu(x, approximate="tanh"),
    ]
    labels = torch.arange(33) % 47
    found += [functional.cross_entropy(x, labels), functional.mse_loss(x, -x), functional.smooth_l1_loss(x, -x)]
    found += [
        functional.binary_cross_entropy_with_logits(x, x.sigmoid()),
        functional.kl_div(x.log_softmax(1), x.softmax(1)),
    ]
    return [_digest(one) for one in found]


def cnn_training() -> Any:
    """Three steps of a small convolutional network with Adam."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 49, 5)
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(_wave(*parameter.shape, scale=0.2))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, labels, losses = _wave(6, 3, 16, 16), torch.arange(6) % 5, []
    for _ in range(3):
        optimiser.zero_grad()
        loss = functional.cross_entropy(net(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return losses


def optimisers() -> Any:
    """One step of each optimiser, the fused and the foreach ones too."""
    found = []
    kinds = [
        torch.optim.SGD,
        torch.optim.Adam,
        torch.optim.AdamW,
        torch.optim.Adagrad,
        torch.optim.RMSprop,
        torch.optim.NAdam,
    ]
    settings: list[tuple[Any, dict[str, Any]]] = [(kind, {}) for kind in kinds] + [
        (kind, {"foreach": True}) for kind in kinds
    ]
    settings += [(kind, {"fused": True}) for kind in kinds[:4]]
    for kind, options in settings:
        weights = nn.Parameter(_wave(257))
        optimiser = kind([weights], lr=0.01, **options)
        for _ in range(2):
            optimiser.zero_grad()
            (weights**2 * _wave(257, scale=2)).sum().backward()
            optimiser.step()
        found.append(_digest(weights))
    return found


def recurrent() -> Any:
    """LSTM and GRU."""
    found = []
    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        net = kind(9, 12, num_layers=2, bidirectional=True)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.copy_(_wave(*parameter.shape, scale=0.3))
            found.append(_digest(net(_wave(7, 3, 9))[0]))
    return found


def attention() -> Any:
    """Scaled dot products (flash and plain), multi-head attention, a transformer layer in training and inference."""
    q, k, v = (_wave(2, 4, 33, 16, scale=s) for s in (1.0, 0.7, 0.5))
    found = [functional.scaled_dot_product_attention(q, k, v, is_causal=causal) for causal in (False, True)]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        found.append(functional.scaled_dot_product_attention(q, k, v))
    found.append(
        functional.scaled_dot_product_attention(*(one.bfloat16() for one in (q, k, v)))
        .float()
        .mean((0, 1, 2))
        .round(decimals=1)
    )
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(_wave(*parameter.shape, scale=0.2))
    found.append(layer(_wave(2, 9, 16)))
    with torch.inference_mode():
        found.append(layer.eval()(_wave(2, 9, 16)).clone())
    return [_digest(one) for one in found]


def embedding() -> Any:
    """Embeddings and bags of them, in each mode."""
    table, places = _wave(50, 24), (torch.arange(40) * 7) % 50
    found = [functional.embedding(places, table)]
    for kind in (torch.float32, torch.float16, torch.float64):
        for mode in ("sum", "mean", "max"):
            found.append(functional.embedding_bag(places, table.to(kind), torch.tensor([0, 11, 12, 30]), mode=mode))
    found.append(functional.one_hot(places, 50))
    return [[one.double().mean(), one.double().sum(0)[:4].float().round(decimals=1)] for one in found]


def bfloat16() -> Any:
    """bfloat16: products, convolution, activations."""
    x, w = _wave(33, 65, dtype=torch.bfloat16), _wave(65, 17, dtype=torch.bfloat16)
    found = [x @ w, functional.softmax(x, 1), functional.layer_norm(x, [65]), functional.gelu(x)]
    found.append(functional.conv2d(_wave(1, 4, 9, 9, dtype=torch.bfloat16), _wave(5, 4, 3, 3, dtype=torch.bfloat16)))
    return [one.float().abs().mean() for one in found]


def half() -> Any:
    """float16: what an AVX2 machine does by F16C."""
    x, w = _wave(33, 64, dtype=torch.float16), _wave(64, 16, dtype=torch.float16)
    found = [x @ w, x.exp(), functional.softmax(x, 1), functional.layer_norm(x, [64]), x.sum(0), x.sqrt().nan_to_num()]
    return [one.float().abs().mean() for one in found]


def autocast() -> Any:
    """Automatic mixed precision, forward and back."""
    layer = nn.Linear(64, 32)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(_wave(*parameter.shape, scale=0.2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(_wave(9, 64))
        loss = functional.mse_loss(y.float(), _wave(9, 32))
    loss.backward()
    return [str(y.dtype), loss.detach(), layer.weight.grad.abs().mean()]


def scripting() -> Any:
    """TorchScript: scripted, traced, frozen."""

    def run(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(x @ y) * 2 + x.sum()

    x, y = _wave(8, 9), _wave(9, 7)
    traced = torch.jit.trace(run, (x, y))
    net = torch.jit.freeze(torch.jit.trace(nn.Sequential(nn.Linear(9, 4), nn.Tanh()).eval(), x))
    return [_digest(traced(x, y)), [_digest(traced(x, y)) for _ in range(3)], list(net(x).shape)]


def sparse() -> Any:
    """Sparse tensors: COO and CSR products."""
    dense = _wave(40, 30) * (_wave(40, 30, scale=1).abs() > 0.8)
    x = _wave(30, 6)
    found = [torch.sparse.mm(dense.to_sparse(), x), dense.to_sparse_csr() @ x, dense.to_sparse().coalesce().to_dense()]
    return [_digest(one) for one in found]


def sorting() -> Any:
    """Sorting, selecting, counting, searching."""
    x = _wave(2111)
    whole = (x * 1000).to(torch.int64)
    found = [x.sort()[0], x.argsort(stable=True), x.topk(17)[0], x.kthvalue(100)[0], x.median(), whole.unique()]
    found += [torch.searchsorted(x.sort()[0], _wave(31)), torch.bincount(whole.abs()), torch.histc(x, 13), x.mode()[0]]
    found += [x.view(1, -1).sort(1, descending=True)[0], whole.to(torch.int16).sort()[0], x.double().sort()[0]]
    return [_digest(one) for one in found]


def indexing() -> Any:
    """Gather, scatter, masks, rolls."""
    x, places = _wave(31, 37), (torch.arange(31 * 5) % 37).reshape(31, 5)
    found = [x.gather(1, places), x.scatter(1, places, 0.5), x.scatter_add(1, places, _wave(31, 5)), x[x > 0.3]]
    found += [
        x.index_select(0, places[:, 0] % 31),
        torch.where(x > 0, x, -x),
        x.roll((3, 4), (0, 1)),
        x.flip(1),
        x.tril(),
    ]
    found += [
        x.masked_fill(x < 0, 9.0),
        x.index_add(0, torch.tensor([1, 1, 4]), x[:3]),
        torch.cat([x, x]),
        x.t().contiguous(),
    ]
    return [_digest(one) for one in found]


def random_numbers() -> Any:
    """The generators: they must give the same numbers on every CPU, the vectorised ones too."""
    torch.manual_seed(7)
    found = [
        torch.rand(100),
        torch.randn(100),
        torch.randint(0, 99, (50,)),
        torch.randperm(60),
        torch.bernoulli(torch.full((40,), 0.3)),
    ]
    found += [
        torch.empty(64).exponential_(),
        torch.empty(64).cauchy_().clamp(-5, 5),
        torch.randn(16, dtype=torch.float64),
    ]
    found.append(torch.multinomial(torch.ones(20), 10))
    return [_digest(one) for one in found]


def serialisation() -> Any:
    """Saving and loading."""
    file = io.BytesIO()
    torch.save({"a": _wave(50), "b": [torch.arange(4), _wave(9, dtype=torch.bfloat16)]}, file)
    file.seek(0)
    back = torch.load(file, weights_only=True)
    return [_digest(back["a"]), back["b"][0], _digest(back["b"][1])]


def special() -> Any:
    """Special functions."""
    x = _wave(211, scale=0.9).abs() + 0.05
    names = (
        "digamma",
        "erfinv",
        "erfcx",
        "i0",
        "i0e",
        "i1",
        "i1e",
        "ndtri",
        "entr",
        "log_ndtr",
        "bessel_j0",
        "bessel_y0",
        "sinc",
    )
    found = [getattr(torch.special, name)(x) for name in names]
    return [
        _digest(one)
        for one in [*found, torch.igamma(x, x + 1), torch.polygamma(2, x + 1), torch.special.zeta(x + 1.5, x)]
    ]


def threads() -> Any:
    """The same with two threads: OpenMP's code, and oneDNN's and MKL's for several."""
    torch.set_num_threads(2)
    x = _wave(300, 400)
    return [
        _digest(x @ x.t()),
        _digest(x.exp()),
        _digest(x.sum(0)),
        _digest(functional.conv2d(x[None, None], _wave(4, 1, 3, 3))),
    ]


def distributed() -> Any:
    """Gloo, with one member."""
    from torch import distributed

    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    x = _wave(100)
    distributed.all_reduce(x)
    distributed.destroy_process_group()
    return _digest(x)


def export() -> Any:
    """torch.export: the graph of a module."""
    program = torch.export.export(nn.Linear(3, 2), (torch.ones(1, 3),))
    return [str(node.op) for node in program.graph.nodes]


def _dynamic(engine: str) -> Any:
    """Dynamically quantised: the activations are measured at run time."""
    torch.backends.quantized.engine = engine
    net = nn.Sequential(nn.Linear(32, 16))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(_wave(*parameter.shape, scale=0.3))
    return _digest(torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)(_wave(4, 32)))


def _static_linear(engine: str) -> Any:
    """Statically quantised: what the activations can be is known before."""
    torch.backends.quantized.engine = engine
    x = torch.quantize_per_tensor(_wave(4, 32), 0.01, 64, torch.quint8)
    w = torch.quantize_per_tensor(_wave(16, 32, scale=0.3), 0.003, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(w, _wave(16))
    return _digest(torch.ops.quantized.linear(x, packed, 0.05, 64).dequantize())


def _static_convolution(engine: str) -> Any:
    torch.backends.quantized.engine = engine
    x = torch.quantize_per_tensor(_wave(1, 4, 9, 9), 0.01, 64, torch.quint8)
    w = torch.quantize_per_tensor(_wave(8, 4, 3, 3, scale=0.3), 0.003, 0, torch.qint8)
    packed = torch.ops.quantized.conv2d_prepack(w, _wave(8), [1, 1], [0, 0], [1, 1], 1)
    return _digest(torch.ops.quantized.conv2d(x, packed, 0.05, 64).dequantize())


def quantised_dynamic_onednn() -> Any:
    """A dynamically quantised linear layer, by oneDNN."""
    return _dynamic("onednn")


def quantised_dynamic_qnnpack() -> Any:
    """A dynamically quantised linear layer, by QNNPACK."""
    return _dynamic("qnnpack")


def quantised_dynamic_fbgemm() -> Any:
    """A dynamically quantised linear layer, by FBGEMM."""
    return _dynamic("fbgemm")


def quantised_dynamic_x86() -> Any:
    """A dynamically quantised linear layer, by whichever engine is thought best."""
    return _dynamic("x86")


def quantised_linear_onednn() -> Any:
    """A statically quantised linear layer, by oneDNN."""
    return _static_linear("onednn")


def quantised_linear_qnnpack() -> Any:
    """A statically quantised linear layer, by QNNPACK."""
    return _static_linear("qnnpack")


def quantised_linear_fbgemm() -> Any:
    """A statically quantised linear layer, by FBGEMM."""
    return _static_linear("fbgemm")


def quantised_linear_x86() -> Any:
    """A statically quantised linear layer, by whichever engine is thought best."""
    return _static_linear("x86")


def quantised_convolution_onednn() -> Any:
    """A quantised convolution, by oneDNN."""
    return _static_convolution("onednn")


def quantised_convolution_qnnpack() -> Any:
    """A quantised convolution, by QNNPACK."""
    return _static_convolution("qnnpack")


def quantised_embedding_bag() -> Any:
    """Embeddings of eight bits."""
    packed = torch.ops.quantized.embedding_bag_byte_prepack(_wave(20, 16))
    places = torch.arange(12) % 20
    return _digest(
        torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
            packed, places, torch.tensor([0, 5]), include_last_offset=False
        )
    )


def quantised_embedding_bag_4bit() -> Any:
    """Embeddings of four bits."""
    packed = torch.ops.quantized.embedding_bag_4bit_prepack(_wave(20, 16))
    places = torch.arange(12) % 20
    return _digest(
        torch.ops.quantized.embedding_bag_4bit_rowwise_offsets(
            packed, places, torch.tensor([0, 5]), include_last_offset=False
        )
    )


def quantised_tensors() -> Any:
    """Quantising, arithmetic on quantised tensors, and back."""
    x = torch.quantize_per_tensor(_wave(4, 30), 0.02, 3, torch.quint8)
    c = torch.quantize_per_channel(
        _wave(4, 30), torch.full((4,), 0.02), torch.zeros(4, dtype=torch.long), 0, torch.qint8
    )
    found = [x.dequantize(), c.dequantize(), torch.ops.quantized.add(x, x, 0.05, 3).dequantize(), x.max().dequantize()]
    found.append(functional.max_pool2d(x[None, None], 2).dequantize())
    found.append(torch.fake_quantize_per_tensor_affine(_wave(40), 0.02, 3, 0, 255))
    return [_digest(one) for one in found]


def packed_weights() -> Any:
    """Weight-only quantisation, as language models are run: int4 and int8 products."""
    x = _wave(8, 64, dtype=torch.bfloat16)
    w = (torch.arange(32 * 64) % 255 - 127).to(torch.int8).reshape(32, 64)
    return (
        torch._weight_int8pack_mm(x, w, torch.full((32,), 0.01, dtype=torch.bfloat16))
        .float()
        .abs()
        .mean()
        .round(decimals=1)
    )

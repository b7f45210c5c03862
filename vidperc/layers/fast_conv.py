"""Convolutions for inference on a CPU with fewer multiplications (Winograd; https://arxiv.org/abs/1509.09308).

F(4x4): a tile of 4x4 outputs is a product for each of up to 6x6 points instead of one for each output and tap,
done as matrix products over tiles and channels; the transforms before and after them are compiled
(winograd.c). A 3x3 convolution takes 4 times fewer multiplications. Others are sums or stacks of smaller ones:

- a dilated one is an undilated one on each of its dilation^2 phases;
- one of stride 2 is the sum of four on the phases of its input, with 3 or 2 (5x5) or 2 or 1 (3x3) taps an axis,
  summed before the transform back: 3.3 and 1.8 times fewer multiplications;
- the phases of a transposed 4x4 one of stride 2 are convolutions of 2x2: 2.6 times fewer.

Outputs equal the direct convolution's up to rounding, about ten times the direct one's own.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TILE, POINTS = 4, 6
A, B = 0.75, 1.5  # 1 and 2 would be cheaper, and twice as coarse
FINITE = {1: (0, A, -A), 2: (0, A, -A, B), 3: (0, A, -A, B, -B)}  # points by the number of taps, infinity besides
ORDER = {1: (0, 1, 2, 3), 2: (0, 1, 2, 4, 3), 3: (0, 1, 2, 4, 5, 3)}  # where winograd.c has them, infinity 3
COLUMNS = 32  # of a panel of weights
LEAST_CHANNELS = 64  # below, the transforms cost more than the multiplications
MOST_WEIGHTS = 300_000  # in and out channels of one that strides, above which it saves no time


class View(ctypes.Structure):
    """winograd.c's description of every so-many-th cell of a map, and where tiles begin on it."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("first", "height", "width", "batch_step", "row_step", "column_step", "top", "left")
    ]


class Job(ctypes.Structure):
    """winograd.c's description of a convolution."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("batch", "rows", "columns", "groups", "sums", "outputs")),
        *((name, ctypes.c_int64) for name in ("in_channels", "out_channels", "points")),
        ("vertical", ctypes.c_int64 * 4),
        ("horizontal", ctypes.c_int64 * 4),
        ("depth", ctypes.c_int64 * POINTS**2),
        ("before", ctypes.c_int64 * POINTS**2 * 4),
        ("weights", ctypes.c_void_p * POINTS**2),
        ("inputs", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("slope", ctypes.c_float),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled part; None where there is none, or the CPU lacks AVX-512."""
    files = sorted(Path(__file__).parent.glob("_winograd*.so"))
    if not files or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    native = ctypes.CDLL(str(files[-1]))
    native.winograd_workspace.restype = ctypes.c_int64
    return native


def runs_in(dtype: torch.dtype) -> bool:
    """Whether this machine convolves so in float32 or bfloat16."""
    native = library()
    return native is not None and (dtype == torch.float32 or bool(native.winograd_has_bfloat16()))


class Axis(NamedTuple):
    """One phase along an axis: every second (or dilation-th) cell from `start`, its tiles beginning at `first`."""

    start: int
    first: int
    taps: tuple[int, ...]  # of the kernel


def kernel_transform(taps: int) -> Tensor:
    """What takes an axis of a kernel to its points: (6, taps), zero for points that it does not need."""
    points, out = FINITE[taps], torch.zeros(POINTS, taps, dtype=torch.float64)
    for place, point in zip(ORDER[taps], points):
        norm = 1.0
        for other in points:
            norm *= point - other if other != point else 1
        out[place] = torch.tensor([float(point) ** power for power in range(taps)], dtype=torch.float64) / norm
    out[3, -1] = 1
    return out


class FastConv(nn.Module):
    """What a convolution becomes; its parameters are the convolution's and keep their names.

    Where it cannot run so (gradients, another device or precision), it runs as before.

    Args:
        conv: an `nn.Conv2d` or `nn.ConvTranspose2d` that `is_fast` accepts.
        dtype: that it shall run in, float32 or bfloat16.
    """

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.transposed = isinstance(conv, nn.ConvTranspose2d)
        self.stride, self.padding, self.dilation = conv.stride[0], int(conv.padding[0]), conv.dilation[0]
        self.in_channels, self.out_channels, self.dtype = conv.in_channels, conv.out_channels, dtype
        size, step = conv.kernel_size[0], self.stride
        if self.transposed:
            sums, self.phases = [Axis(0, -1, (0, 1))], 2
        elif step == 2:
            sums = [_strided_axis(size, phase) for phase in range(2)]
            sums.sort(key=lambda axis: -len(axis.taps))
            self.phases = 1
        else:
            sums, self.phases = [Axis(0, -1, (0, 1, 2))], self.dilation
        # Phases with more taps come first: the others miss their last points.
        self.sums = [(vertical, horizontal) for vertical in sums for horizontal in sums]
        self.points = max(len(axis.taps) for axis in sums) + 3
        with torch.no_grad():
            self.panels = self._panels()
        self.job = self._job()

    def _panels(self) -> dict[tuple[int, int], Tensor]:
        """For each point its matrix of weights, K input channels of each phase that is summed to N, as panels."""
        weight = self.weight.detach().float()
        if self.transposed:  # (I, O, 4, 4): outputs by phase, each of two taps
            taps = torch.tensor([[3, 1], [2, 0]])
            weight = weight[:, :, taps][..., taps]  # (I, O, 2, 2, 2, 2): phase and tap of rows, of columns
            weight = weight.permute(2, 4, 1, 0, 3, 5).flatten(0, 2)  # (phases O, I, 2, 2)
        parts: dict[tuple[int, int], list[Tensor]] = {}
        for vertical, horizontal in self.sums:
            part = weight[:, :, list(vertical.taps)][..., list(horizontal.taps)]
            rows, columns = (kernel_transform(len(axis.taps)).float() for axis in (vertical, horizontal))
            for i in range(len(vertical.taps) + 3):
                for j in range(len(horizontal.taps) + 3):
                    both = torch.outer(rows[i], columns[j]).flatten()
                    parts.setdefault((i, j), []).append(part.flatten(2) @ both)
        return {point: self._panel(torch.cat(part, 1)) for point, part in parts.items()}

    def _panel(self, matrix: Tensor) -> Tensor:
        """A matrix (N, K) as (N / 32, K, 32), in bfloat16 with pairs of K together: (N / 32, K / 2, 32, 2)."""
        matrix = F.pad(matrix, (0, 0, 0, -len(matrix) % COLUMNS)).to(self.dtype).unflatten(0, (-1, COLUMNS))
        if self.dtype == torch.float32:
            return matrix.transpose(1, 2).contiguous()
        return matrix.unflatten(2, (-1, 2)).transpose(1, 2).contiguous()

    def _job(self) -> Job:
        """What of the description does not depend on the input."""
        job = Job(groups=1 if self.transposed else self.phases**2, outputs=self.phases**2 if self.transposed else 1)
        job.sums, job.points = len(self.sums), self.points
        job.in_channels, job.out_channels = self.in_channels, self.out_channels
        for number, (vertical, horizontal) in enumerate(self.sums):
            job.vertical[number], job.horizontal[number] = len(vertical.taps), len(horizontal.taps)
            for i in range(len(vertical.taps) + 3):
                for j in range(len(horizontal.taps) + 3):
                    point = i * POINTS + j
                    job.before[number][point] = job.depth[point]
                    job.depth[point] += self.in_channels
        for (i, j), panel in self.panels.items():
            job.weights[i * POINTS + j] = panel.data_ptr()
        return job

    def forward(self, x: Tensor, slope: float = 1.0, out: Tensor | None = None) -> Tensor:
        """The convolution of x (B, I, H, W), in channels_last memory.

        Args:
            slope: values below 0 are multiplied by it; 1 is no activation, 0 a ReLU.
            out: takes the result, at least as much of its upper left as it holds.
        """
        if not self._runs(x):
            return self._direct(x, slope, out)
        x = x.to(self.dtype)
        if x.stride(1) != 1:
            x = x.contiguous(memory_format=torch.channels_last)
        batch, _, height, width = x.shape
        size = (height * 2, width * 2) if self.transposed else (-(-height // self.stride), -(-width // self.stride))
        if out is None:
            shape = (batch, self.out_channels, *size)
            out = torch.empty(shape, dtype=self.dtype, memory_format=torch.channels_last)
        self._run(x, slope, out, *(self._tiles(length) for length in size))
        return out

    def _runs(self, x: Tensor) -> bool:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        return dtype == self.dtype and x.device.type == "cpu" and not torch.is_grad_enabled()

    def _direct(self, x: Tensor, slope: float, out: Tensor | None) -> Tensor:
        if self.transposed:
            y = F.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding)
        else:
            y = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation)
        if slope != 1:
            y = F.leaky_relu(y, slope)
        return y if out is None else out.copy_(y[..., : out.shape[2], : out.shape[3]])

    def _tiles(self, length: int) -> int:
        """Tiles along an axis of this output length."""
        count = length // 2 + 1 if self.transposed else -(-length // self.phases)
        return -(-count // TILE)

    def _run(self, x: Tensor, slope: float, out: Tensor, rows: int, columns: int) -> None:
        native, job = library(), Job.from_buffer_copy(self.job)
        assert native is not None
        groups = 1 if self.transposed else self.phases
        step = self.stride if groups == 1 and not self.transposed else groups
        starts = [divmod(group, groups) for group in range(groups**2)]
        inputs = [
            _view(x, (v.start + start[0], h.start + start[1]), step, (v.first, h.first))
            for v, h in self.sums for start in starts
        ]  # fmt: skip
        if self.transposed:
            places = [divmod(phase, 2) for phase in range(4)]
            outputs = [_view(out, place, 2, (-place[0], -place[1])) for place in places]
        else:
            outputs = [_view(out, start, groups, (0, 0)) for start in starts]
        arrays = ((View * len(inputs))(*inputs), (View * len(outputs))(*outputs))
        bias = None if self.bias is None else self.bias.detach().float()
        job.batch, job.rows, job.columns, job.slope = len(x), rows, columns, slope
        job.inputs, job.out = (ctypes.addressof(array) for array in arrays)
        job.bias = None if bias is None else bias.data_ptr()
        threads = torch.get_num_threads()
        workspace = torch.empty(threads * native.winograd_workspace(ctypes.byref(job)), dtype=torch.uint8)
        run = native.float_winograd if self.dtype == torch.float32 else native.bfloat16_winograd
        run(
            ctypes.byref(job), ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(out.data_ptr()),
            ctypes.c_void_p(workspace.data_ptr()), ctypes.c_int64(threads),
        )  # fmt: skip


def is_fast(module: nn.Module, dtype: torch.dtype = torch.float32) -> bool:
    """Whether `FastConv` knows this kind of convolution, and is faster."""
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d) or module.groups != 1 or module.padding_mode != "zeros":
        return False
    kind = (module.kernel_size, module.stride, module.padding, module.dilation)
    few = min(module.in_channels, module.out_channels) < LEAST_CHANNELS or module.in_channels % 2
    many = module.in_channels * module.out_channels > MOST_WEIGHTS
    if few or (isinstance(module, nn.ConvTranspose2d) and module.output_padding != (0, 0)):
        return False
    if isinstance(module, nn.ConvTranspose2d):
        return kind == ((4, 4), (2, 2), (1, 1), (1, 1)) and not many
    if kind[1] == (2, 2):
        return kind == ((5, 5), (2, 2), (2, 2), (1, 1)) and not many
    return kind[:2] == ((3, 3), (1, 1)) and kind[2] == kind[3] and kind[3][0] == kind[3][1]


def speed_up(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Put a `FastConv` in the place of every convolution that is faster so, in place, for inference.

    A model whose choices flip under rounding says so by `sensitive_to_rounding` and stays as it is.
    In bfloat16 results are four times as coarse as direct ones: only modules that say by `may_be_coarse` that it does
    not matter to them are changed.
    """
    if not runs_in(dtype) or getattr(model, "sensitive_to_rounding", False):
        return model
    parts = [model] if dtype == torch.float32 else [m for m in model.modules() if getattr(m, "may_be_coarse", False)]
    made: dict[int, FastConv] = {}
    for parent in [module for part in parts for module in part.modules()]:
        for name, child in list(parent.named_children()):
            if is_fast(child, dtype):
                setattr(parent, name, made.setdefault(id(child), FastConv(child, dtype)))  # type: ignore[arg-type]
    return model


def _strided_axis(size: int, phase: int) -> Axis:
    """The phase of an axis that a kernel of this size and stride 2 meets."""
    offsets = [(tap, tap - size // 2) for tap in range(size)]
    taps = [(tap, (offset - phase) // 2) for tap, offset in offsets if offset % 2 == phase]
    return Axis(phase, taps[0][1], tuple(tap for tap, _ in taps))


def _view(x: Tensor, start: tuple[int, int], step: int, first: tuple[int, int]) -> View:
    """The cells of x (B, D, H, W) from `start`, every `step`-th, with tiles from `first` among them."""
    height, width = (-(-(length - begin) // step) for length, begin in zip(x.shape[2:], start))
    rows, columns = x.stride(2), x.stride(3)
    begin = start[0] * rows + start[1] * columns
    return View(begin, height, width, x.stride(0), rows * step, columns * step, *first)

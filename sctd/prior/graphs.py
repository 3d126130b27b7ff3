"""The UNet as CUDA graphs: launching its thousand kernels can take a fast card longer than running them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Latents [B, C, h, w], timestep [], embeddings [B, L, D] => prediction [B, C, h, w]."""


class Recorder(Protocol):
    """Records what a function launches, to launch it again without the function."""

    def record(self, call: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Runs ``call`` for the record; returns what replays it, and the tensor that holds its result."""


class CudaRecorder:
    """CUDA graphs by torch, on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    WARM_UP = 3
    """Calls before the recording: in the first, libraries choose and allocate, which no graph may."""

    def record(self, call: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """See :class:`Recorder`."""
        with torch.cuda.device(self._device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(self.WARM_UP):
                    call()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # Its stream: torch's own is one for the whole process, on the device that captured first.
            with torch.cuda.graph(graph, stream=side):
                out = call()
        return graph.replay, out


class GraphedNetwork:
    """A frozen network that is recorded once for each shape of its inputs, and replayed from then on."""

    def __init__(self, network: Network, recorder: Recorder) -> None:
        self._network = network
        self._recorder = recorder
        self._recorded: dict[tuple[Any, ...], _Recording] = {}

    def __len__(self) -> int:
        return len(self._recorded)

    @torch.no_grad()
    def __call__(self, latents: Tensor, t: Tensor, embeddings: Tensor) -> Tensor:
        """What the network gives, in memory of its own: the next call overwrites the graph's."""
        inputs = (latents, t, embeddings)
        key = tuple((tuple(x.shape), x.dtype, x.device) for x in inputs)
        if key not in self._recorded:
            self._recorded[key] = _Recording(self._network, self._recorder, inputs)
        return self._recorded[key](inputs)


class _Recording:
    """One graph with the memory that it reads and writes: a graph knows addresses, not tensors."""

    def __init__(self, network: Network, recorder: Recorder, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
        self._inputs = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in inputs)
        self._fill(inputs)
        latents, t, embeddings = self._inputs
        self._replay, self._out = recorder.record(lambda: network(latents, t, embeddings))

    def __call__(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        self._fill(inputs)
        self._replay()
        return self._out.clone()

    def _fill(self, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)

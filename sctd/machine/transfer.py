"""Numbers on their way to the device and back, without the host and the device waiting for each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A CPU tensor on a device; to a GPU through pinned memory, from which a copy waits for nothing."""
    device = torch.device(device)
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Readback:
    """Tensors that are copied to the CPU once the device has made them; whoever asks waits until then."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Queues the copies. Numbers that change in place afterwards may be read as either."""
        self._copies = {name: t.detach().to("cpu", non_blocking=True) for name, t in tensors.items()}
        device = next((t.device for t in tensors.values() if t.device.type == "cuda"), None)
        self._made = None if device is None else torch.cuda.current_stream(device).record_event()

    def get(self) -> dict[str, Tensor]:
        """The tensors on the CPU."""
        if self._made is not None:
            self._made.synchronize()
        return self._copies

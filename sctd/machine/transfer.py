"""Transfers between host and device, without either waiting for the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A CPU tensor on a device; to a GPU through pinned memory, whose copies are asynchronous."""
    device = torch.device(device)
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Readback:
    """Asynchronous copies of tensors to the CPU; :meth:`get` waits for them."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """Queue the copies. If a tensor changes in place afterwards, the copy may have either value."""
        self._copies = {name: t.detach().to("cpu", non_blocking=True) for name, t in tensors.items()}
        device = next((t.device for t in tensors.values() if t.device.type == "cuda"), None)
        self._made = None if device is None else torch.cuda.current_stream(device).record_event()

    def get(self) -> dict[str, Tensor]:
        """The tensors on the CPU."""
        if self._made is not None:
            self._made.synchronize()
        return self._copies

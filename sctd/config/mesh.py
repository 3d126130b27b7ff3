"""What a mesh of an asset is to be like."""

from __future__ import annotations

from pydantic import Field

from sctd.config.base import Section


class MeshSettings(Section):
    """Of mesh.glb, and of what `sctd mesh` writes."""

    faces: int = Field(default=20_000, ge=100, le=2_000_000, description="triangles, at most about so many")
    texture: int = Field(default=1024, ge=64, le=4096, description="width and height of the texture, texels")
    resolution: int = Field(
        default=128,
        ge=16,
        le=512,
        description="steps along the object's longest side in which its surface is sought",
    )
    views: int = Field(default=72, ge=16, le=400, description="pictures that it is made from")
    view_size: int = Field(default=512, ge=64, le=2048, description="width and height of those, pixels")

"""Gaussians => a textured mesh: views all round, a surface between them, triangles, a picture on those."""

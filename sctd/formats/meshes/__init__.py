"""Files of meshes => coloured triangles, a module for each format. This one loads no torch."""

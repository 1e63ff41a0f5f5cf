"""Voxels at other places than those of the stored lattice."""

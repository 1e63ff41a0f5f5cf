"""Image and label volumes: one interface, one file a format."""

from axonloom.volumes.affinities import AffinityVolume, open_affinities
from axonloom.volumes.cropped import CroppedVolume
from axonloom.volumes.open import create_volume, open_volume
from axonloom.volumes.precomputed import add_mip
from axonloom.volumes.volume import Volume, VolumeError

__all__ = [
    "AffinityVolume",
    "CroppedVolume",
    "Volume",
    "VolumeError",
    "add_mip",
    "create_volume",
    "open_affinities",
    "open_volume",
]

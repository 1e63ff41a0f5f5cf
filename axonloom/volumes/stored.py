"""What all volumes that lie in files share: what a user may override, and how they travel to other processes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.geometry import Zyx
from axonloom.volumes.record import VolumeRecord, checked_offset, checked_voxel_size
from axonloom.volumes.volume import Volume, VolumeError


class StoredVolume(Volume):
    """A volume in files, opened by ``uri`` (absolute). Subclasses set shape, channels, dtype and chunk, then ``_adopt`` a record.

    Parameters
    ----------
    voxel_size, offset
        What the user states instead of what the file says; None: as the file says.
    version : str or None
        What the user states to be the data's version; part of :meth:`identity` in place of a list of files.
    """

    def __init__(
        self,
        uri: str,
        *,
        voxel_size: Sequence[float] | None = None,
        offset: Sequence[int] | None = None,
        version: str | None = None,
    ) -> None:
        self.uri = uri
        self.version = version
        self._stated_voxel_size = checked_voxel_size(voxel_size, "the caller") if voxel_size is not None else None
        self._stated_offset = checked_offset(offset, "the caller") if offset is not None else None

    def _adopt(self, record: VolumeRecord) -> None:
        """Take over what the file says, where the user has not said otherwise."""
        self.voxel_size = self._stated_voxel_size or record.voxel_size
        self.offset = self._stated_offset if self._stated_offset is not None else record.offset
        self.attributes = dict(record.attributes)

    def _overrides(self) -> dict[str, Any]:
        return {"voxel_size": self._stated_voxel_size, "offset": self._stated_offset, "version": self.version}

    def __reduce__(self) -> tuple[Any, ...]:
        # Handles and memory maps do not travel; the URI does.
        return _reopen, (type(self), self.uri, self._overrides())

    def _versioned(self, identity: dict[str, Any]) -> dict[str, Any]:
        return identity if self.version is None else {**identity, "version": self.version}

    def __repr__(self) -> str:
        channels = f"{self.channels} channels, " if self.channels is not None else ""
        return f"<{type(self).__name__} {self.uri}: {self.shape} zyx, {channels}{self.dtype}>"


def _reopen(kind: type[StoredVolume], uri: str, overrides: dict[str, Any]) -> StoredVolume:
    return kind(uri, **overrides)


def require_file(path: Path) -> None:
    """VolumeError with the nearest name that does exist, where ``path`` does not."""
    if path.exists():
        return
    parent = path.parent
    names = [p.name for p in parent.iterdir()] if parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    if not parent.is_dir():
        hint = f"nor does its folder {parent}"
    elif close:
        hint = f"did you mean {parent / close[0]}?"
    else:
        hint = f"its folder holds {len(names)} other files"
    raise VolumeError(f"{path} does not exist; {hint}")


def spatial_shape(shape: Sequence[int], where: str) -> tuple[Zyx, int | None]:
    """Split an array's shape, zyx or czyx, into (z, y, x) and channels (None for zyx).

    Raises
    ------
    VolumeError
        Another number of axes, or an axis without voxels.
    """
    if len(shape) not in (3, 4):
        raise VolumeError(
            f"{where} has {len(shape)} axes, shape {tuple(shape)}; a volume has 3 (z, y, x) or 4 (channel, z, y, x)"
        )
    if min(shape) < 1:
        raise VolumeError(f"{where} has the shape {tuple(shape)}: it holds no voxels")
    z, y, x = (int(n) for n in shape[-3:])
    return (z, y, x), int(shape[0]) if len(shape) == 4 else None


def plain_dtype(dtype: Any, where: str) -> np.dtype[Any]:
    """The dtype in this machine's byte order, where it is a number or bool; else a VolumeError."""
    found = np.dtype(dtype)
    if found.kind not in "buif":
        raise VolumeError(f"{where} holds {found}; a volume holds integers, floats or booleans")
    return found.newbyteorder("=")

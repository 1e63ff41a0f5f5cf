"""The precomputed layer that a user named as output: made, recognised, replaced only when it is this workspace's own.

Attributes beside the layer's voxels (``axonloom.json``) say which stage of which workspace writes it, and carry a uuid of its
creation. A ledger speaks of one creation: when the layer was deleted or replaced since, what the ledger says is void.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.segment_properties import add_segment_properties
from axonloom.geometry import Zyx
from axonloom.provenance import software
from axonloom.stage import StageError
from axonloom.volumes import Volume, create_volume, open_volume
from axonloom.volumes.precomputed_info import SCHEME, parse_precomputed
from axonloom.volumes.record import FINGERPRINT, read_record_file
from axonloom.volumes.tensorstore_io import is_remote
from axonloom.workspace import workspace_id


@dataclass(frozen=True)
class SegmentationLayer:
    """A named output.

    Attributes
    ----------
    uri : ``precomputed://…``
    folder : where it lies
    """

    uri: str
    folder: Path

    @classmethod
    def at(cls, uri: str) -> SegmentationLayer:
        """Raises StageError for what is not a precomputed layer on this machine's file system."""
        location = parse_precomputed(uri)[0] if uri.startswith(SCHEME) else None
        if location is None or is_remote(location):
            raise StageError(
                f"volumes.segmentation.path is {uri}: a segmentation is written as precomputed://FOLDER on a file system"
            )
        return cls(f"{SCHEME}{location}", Path(location))

    @property
    def lease(self) -> Path:
        return self.folder.with_name(self.folder.name + ".lease")

    def marker(self) -> Mapping[str, Any] | None:
        """What the layer says of itself: fingerprint, workspace, creation; None when axonloom did not make it."""
        record = read_record_file(self.folder) if self.folder.is_dir() else None
        return record.attributes if record is not None and "creation" in record.attributes else None

    def replaces(self, fingerprint: str, workspace: Path) -> str | None:
        """What writing ``fingerprint`` here would replace, for telling the user; None when nothing.

        Raises
        ------
        StageError
            Something lies here that this workspace did not make.
        """
        marker = self.marker()
        if marker is None:
            if self.folder.exists() and any(self.folder.iterdir()):
                raise StageError(
                    f"{self.folder} exists and was not made by axonloom: name another volumes.segmentation.path, or move "
                    "it away"
                )
            return None
        if marker[FINGERPRINT] == fingerprint:
            return None
        if marker["workspace"] != workspace_id(workspace):
            raise StageError(
                f"{self.folder} was made from another workspace than {workspace}: name another volumes.segmentation.path, "
                "or move it away"
            )
        return (
            f"{self.folder} holds the segmentation of other parameters ({marker[FINGERPRINT][:16]}); it is replaced (to keep "
            "both, give each a volumes.segmentation.path of its own)"
        )

    def create(
        self,
        fingerprint: str,
        workspace: Path,
        *,
        shape: Zyx,
        dtype: np.dtype[Any],
        chunk: Zyx,
        voxel_size: tuple[float, float, float] | None,
        offset: Zyx,
        remarks: Mapping[str, str] | None = None,
    ) -> None:
        """Make the layer for this fingerprint, in place of an older one of this workspace. Any number of times.

        ``remarks`` are kept with its provenance: what whoever finds the layer should know of it.

        It is built under another name and renamed whole, so that a layer that is there is one that says what it is.
        """
        if self.replaces(fingerprint, workspace) is None and self.marker() is not None:
            return
        # It may be a link to another disk, and stays one.
        folder = self.folder.resolve()
        building = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.building")
        create_volume(
            f"{SCHEME}{building}",
            shape=shape,
            dtype=dtype,
            chunk=chunk,
            voxel_size=voxel_size,
            offset=offset,
            attributes={
                FINGERPRINT: fingerprint,
                "creation": uuid.uuid4().hex,
                "workspace": workspace_id(workspace),
                "software": software(),
                **(remarks or {}),
            },
        )
        add_segment_properties(building)
        if folder.exists():
            discarded = building.with_suffix(".discarded")
            folder.rename(discarded)
            building.rename(folder)
            shutil.rmtree(discarded)
        else:
            building.rename(folder)

    def creation(self) -> str:
        marker = self.marker()
        if marker is None:
            raise StageError(f"{self.folder} was moved or deleted while it was being written: run again")
        return marker["creation"]

    def volume(self, mip: int = 0) -> Volume:
        return open_volume(f"{self.uri}?mip={mip}")

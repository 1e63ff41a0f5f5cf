"""The precomputed layer that a user named as output: made, recognised, replaced only when it is this workspace's own.

A marker file in the layer (``axonloom.json``) says which stage of which workspace writes it, and carries a uuid of its
creation. A ledger speaks of one creation: when the layer was deleted or replaced since, what the ledger says is void.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.durable import write_json
from axonloom.geometry import Zyx
from axonloom.provenance import software
from axonloom.stage import StageError
from axonloom.volumes import Volume, create_volume, open_volume
from axonloom.volumes.precomputed import local_folder
from axonloom.workspace import workspace_id

FORMAT_VERSION = 1
MARKER = "axonloom.json"


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
        folder = local_folder(uri)
        if folder is None:
            raise StageError(
                f"volumes.segmentation.path is {uri}: a segmentation is written as precomputed://FOLDER on a file system"
            )
        return cls(uri, folder)

    @property
    def lease(self) -> Path:
        return self.folder.with_name(self.folder.name + ".lease")

    def marker(self) -> dict[str, Any] | None:
        """What the layer says of itself; None when there is no marker."""
        try:
            return json.loads((self.folder / MARKER).read_text())
        except FileNotFoundError:
            return None

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
        if marker["fingerprint"] == fingerprint:
            return None
        if marker["workspace"] != workspace_id(workspace):
            raise StageError(
                f"{self.folder} was made from another workspace than {workspace}: name another volumes.segmentation.path, "
                "or move it away"
            )
        return f"{self.folder} holds the segmentation of other parameters ({marker['fingerprint'][:16]}); it is replaced"

    def create(
        self,
        fingerprint: str,
        workspace: Path,
        *,
        shape: Zyx,
        dtype: np.dtype[Any],
        chunk: Zyx,
        voxel_size: Sequence[float],
        offset: Zyx,
    ) -> None:
        """Make the layer for this fingerprint, in place of an older one of this workspace. Any number of times.

        The marker comes last: a layer without one that an interrupted creation left is recognised by the folder being new,
        so it is built under another name first and renamed whole.
        """
        if self.replaces(fingerprint, workspace) is None and self.marker() is not None:
            return
        building = self.folder.with_name(f".{self.folder.name}.{uuid.uuid4().hex[:12]}.building")
        create_volume(
            f"precomputed://{building}",
            shape=shape,
            dtype=dtype,
            chunk=chunk,
            voxel_size=tuple(voxel_size),
            offset=offset,
        )
        write_json(
            building / MARKER,
            {
                "format_version": FORMAT_VERSION,
                "creation": uuid.uuid4().hex,
                "fingerprint": fingerprint,
                "axonloom_fingerprint": fingerprint,
                "workspace": workspace_id(workspace),
                "software": software(),
            },
        )
        if self.folder.exists():
            discarded = building.with_suffix(".discarded")
            self.folder.rename(discarded)
            building.rename(self.folder)
            shutil.rmtree(discarded)
        else:
            building.rename(self.folder)

    def creation(self) -> str:
        marker = self.marker()
        if marker is None:
            raise StageError(f"{self.folder} has no {MARKER}: it was moved or deleted while it was being written")
        return marker["creation"]

    def volume(self, mip: int = 0) -> Volume:
        return open_volume(f"{self.uri}?mip={mip}")

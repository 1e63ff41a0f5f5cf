"""A folder in which new volumes arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from axonloom.config.settings import Settings


class InboxSettings(Settings):
    """Where new volumes arrive, and what is done to each."""

    folder: Path = Field(default=Path("inbox"), description="Folder in which new volumes arrive.")
    template: Path = Field(
        default=Path("inbox.yaml"),
        description="Configuration (YAML) that each volume is reconstructed with; the workspace and the volume's path are "
        "replaced, and checkpoint and thresholds are those of the template.",
    )
    results: Path = Field(
        default=Path("results"), description="Folder that gets a workspace for each volume, named like it."
    )
    volume: Literal["image", "affinities"] = Field(
        default="image",
        description="What the new volumes hold: which of the template's volumes they take the place of.",
    )
    dataset: str | None = Field(
        default=None, description="Name of the dataset in HDF5 files, such as volumes/raw. Default: the only one."
    )
    patterns: tuple[str, ...] = Field(
        default=("*.tif", "*.tiff", "*.h5", "*.hdf5", "*.hdf", "*.zarr", "*.n5"),
        description="Names that are volumes (* stands for anything). Hidden names are never looked at.",
    )
    settle: float = Field(
        default=60.0,
        ge=0,
        description="Seconds for which sizes and times must have stayed the same before a volume counts as whole: longer than "
        "a copy may stall.",
    )
    tries: PositiveInt = Field(
        default=3,
        description="Runs that a volume gets when blocks of it fail or it cannot be read; then it is left alone.",
    )

    def located(self, folder: Path) -> InboxSettings:
        """The same with relative paths made absolute against ``folder``."""
        places = {name: (folder / getattr(self, name).expanduser()) for name in ("folder", "template", "results")}
        return self.model_copy(update=places)

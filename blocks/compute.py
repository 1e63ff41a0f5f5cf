"""Where batches of blocks run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from prefect.blocks.core import Block
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from axonloom.bad_input import BadInputError
from axonloom.config.compute import ComputeSettings

#: Kinds of jobs, as in ``compute.profiles``.
Profile = Literal["cpu", "gpu"]


class ComputeBlockError(BadInputError):
    """Saved compute settings that cannot be used, in one sentence."""


class Compute(Block):
    """A place to run batches of blocks: threads of the flow's process, a Dask cluster on its machine, or SLURM jobs."""

    _block_type_name = "Axonloom Compute"
    _block_type_slug = "axonloom-compute"
    _description = "Where axonloom runs batches of blocks, and how many at once."

    settings: ComputeSettings = Field(default=ComputeSettings(), description="Kind and number of workers.")

    def task_runner(self, profile: Profile = "cpu", folder: Path | None = None) -> TaskRunner[Any]:
        """A Prefect task runner for this place; enter it to start the workers.

        Parameters
        ----------
        profile : which kind of SLURM jobs
        folder : where SLURM jobs write their output and find their keys; all nodes must see it
        """
        if self.settings.on == "local":
            return ThreadPoolTaskRunner(max_workers=self.settings.workers)
        if self.settings.on == "slurm":
            return self._slurm_runner(profile, folder or Path.cwd())
        # Only here: dask takes a second to import, and most runs on one machine do without it.
        from blocks.dask_runner import BatchRunner

        return BatchRunner(
            cluster_kwargs={
                "n_workers": self.settings.workers,
                "threads_per_worker": 1,
                "processes": True,
                # Any free port: the usual one may belong to another run.
                "dashboard_address": "127.0.0.1:0",
                "host": "127.0.0.1",
                "preload": ["blocks.worker_life"],
                # Task logs reach the server; on the terminal they would tear the progress bars.
                "env": {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"},
            }
        )

    def _slurm_runner(self, name: Profile, folder: Path) -> TaskRunner[Any]:
        from blocks.dask_runner import BatchRunner
        from blocks.slurm_cluster import JobAdaptive, JobCluster, Trouble

        profiles = self.settings.profiles
        profile = profiles.gpu if name == "gpu" and profiles.gpu is not None else profiles.cpu
        trouble = Trouble()
        return BatchRunner(
            cluster_class=JobCluster,
            cluster_kwargs={
                "profile": profile,
                "network": self.settings.network,
                "label": "gpu" if profile is profiles.gpu else "cpu",
                "folder": folder,
                "trouble": trouble,
            },
            adapt_kwargs={"Adaptive": JobAdaptive, "maximum_jobs": profile.max_jobs},
            require_workers=trouble.require_none,
        )


def resolved(settings: ComputeSettings) -> ComputeSettings:
    """The settings themselves, or those of the block that they name; only then is the server asked.

    Raises
    ------
    ComputeBlockError
        There is no such block.
    """
    if settings.block is None:
        return settings
    try:
        saved = Compute.load(settings.block, _sync=True)
    except ValueError as error:
        raise ComputeBlockError(
            f"compute.block: no compute settings were saved as {settings.block!r} on this server; "
            f"{_known()}`axonloom compute save NAME CONFIG` saves those of a configuration"
        ) from error
    return saved.settings


def save(name: str, settings: ComputeSettings) -> None:
    """Save compute settings on the server under a name (lower case, digits, dashes); what had it before is replaced.

    Raises
    ------
    ComputeBlockError
        The name cannot be one, or the settings themselves come from a block.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ComputeBlockError(f"{name!r} cannot be a name of a block: use lower case letters, digits and dashes")
    if settings.block is not None:
        raise ComputeBlockError(f"compute.block: settings that refer to the block {settings.block!r} are saved already")
    Compute(settings=settings).save(name, overwrite=True, _sync=True)


def saved_names() -> list[str]:
    """Names under which compute settings are saved on the server."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import BlockDocumentFilter, BlockDocumentFilterIsAnonymous

    with get_client(sync_client=True) as client:
        documents = client.request(
            "POST",
            "/block_documents/filter",
            json={
                "block_documents": BlockDocumentFilter(
                    is_anonymous=BlockDocumentFilterIsAnonymous(eq_=False)
                ).model_dump(mode="json", exclude_none=True),
                "block_types": {"slug": {"any_": [Compute._block_type_slug]}},
            },
        ).json()
    return sorted(document["name"] for document in documents)


def _known() -> str:
    names = saved_names()
    return f"there are {', '.join(names)}; " if names else ""

"""A network that torch has compiled for this machine: faster where its kernels can be fused, with other last bits."""

from __future__ import annotations

import threading

import torch
from torch import Tensor, nn

from axonloom.bad_input import BadInputError


class CompilationError(BadInputError):
    """torch cannot compile a network here."""


class CompiledNetwork:
    """A network that is compiled when it first sees windows of a shape, which takes a minute; by one thread, others wait.

    torch would compile anew for every order of axes in memory and after a few give up without a word, so that the
    bytes would depend on what came before. So the network gets one order alone, and giving up is an error.

    Parameters
    ----------
    network : in evaluation mode, on its device
    layout : torch.memory_format
        The order of axes in memory that it gets.
    """

    def __init__(self, network: nn.Module, layout: torch.memory_format) -> None:
        self._network = torch.compile(network, dynamic=False)
        self._layout = layout
        self._compiling = threading.Lock()
        self._known: set[tuple[int, ...]] = set()

    def __call__(self, windows: Tensor) -> Tensor:
        """The network's output for (batch, c, z, y, x).

        Raises
        ------
        CompilationError
        """
        windows = windows.contiguous(memory_format=self._layout)
        if tuple(windows.shape) in self._known:
            return self._network(windows)
        from torch._dynamo import config  # takes seconds
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        with self._compiling, config.patch(fail_on_recompile_limit_hit=True):
            try:
                found = self._network(windows)
            except (TorchDynamoException, FailOnRecompileLimitHit) as error:
                reason = (str(error) or type(error).__name__).strip().splitlines()[0]
                raise CompilationError(
                    f"torch cannot compile this network here ({reason}): set infer.compile to false (on a CPU it also needs a C++ compiler)"
                ) from error
            self._known.add(tuple(windows.shape))
        return found

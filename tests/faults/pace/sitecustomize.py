"""Slows blocks down and breaks some, in every process that a run starts: Python imports this where PYTHONPATH names its folder.

``AXONLOOM_FAULT`` holds JSON: ``seconds`` (stage -> how much longer a block takes) and optionally ``at`` (``stage``, ``block``,
``do``, ``once``, ``when``): what happens inside that block, the first time that anything reaches it (``once`` names the file that
notes it): ``die`` (SIGKILL), ``sleep`` (SIGSTOP) or ``swell`` (ever more memory), after its output or ``before`` it is computed.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import time

MODULE = "axonloom.runner"


class _Disturbed:
    """A stage whose blocks take longer, and may meet a fault after they have computed and before they are recorded."""

    def __init__(self, stage, orders):
        self._stage, self._orders = stage, orders

    def __getattr__(self, name):
        return getattr(self._stage, name)

    def process(self, block):
        order = self._orders.get("at")
        meant = order and (order["stage"], order["block"]) == (self._stage.name, block.index)
        if meant and order.get("when") == "before":
            _carry_out(order)
        facts = self._stage.process(block)
        time.sleep(self._orders.get("seconds", {}).get(self._stage.name, 0.0))
        if meant and order.get("when") != "before":
            _carry_out(order)
        return facts


def _carry_out(order):
    try:
        os.close(os.open(order["once"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    if order["do"] == "die":
        os.kill(os.getpid(), 9)
    elif order["do"] == "swell":
        swollen = []
        while True:
            swollen.append(b"\1" * 50_000_000)
            time.sleep(0.05)
    elif order["do"] == "sleep":
        os.kill(os.getpid(), 19)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        self.true = importlib.util.find_spec(name)
        return importlib.util.spec_from_loader(name, self, origin=self.true.origin)

    def create_module(self, spec):
        return importlib.util.module_from_spec(self.true)

    def exec_module(self, module):
        self.true.loader.exec_module(module)
        run_block, orders = module.run_block, json.loads(os.environ["AXONLOOM_FAULT"])

        def disturbed(stage, *arguments, **more):
            return run_block(_Disturbed(stage, orders), *arguments, **more)

        module.run_block = disturbed


if os.environ.get("AXONLOOM_FAULT"):
    sys.meta_path.insert(0, _Finder())

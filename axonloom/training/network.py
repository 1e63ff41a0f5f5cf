"""Which network a training builds."""

from __future__ import annotations

from dataclasses import replace

from axonloom.config.train import TrainSettings
from axonloom.networks.presets import Preset, preset


def chosen_network(settings: TrainSettings) -> Preset:
    """The network of ``settings.network``, else the preset's, with the patch and window that the settings say."""
    if settings.network is None:
        found = preset(settings.preset)
    else:
        assert settings.patch is not None  # the settings are refused without
        network = settings.network
        found = Preset(network.architecture, dict(network.parameters), settings.patch, settings.patch, isotropic=False)
    return replace(found, patch=settings.patch or found.patch, window=settings.window or found.window)

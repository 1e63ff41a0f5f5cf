"""``DATASET.DO_2D``: networks and targets of single sections."""

from __future__ import annotations

from axonloom.networks.pytc import OF_SECTIONS
from axonloom.pytc.configuration import PytcConfiguration, PytcError

#: Target codes with another meaning across sections, by the mode in their second place.
MODES = frozenset({"5", "6", "8"})


def require_sections(given: PytcConfiguration) -> None:
    """Raise PytcError where ``DO_2D`` and ``MODEL`` do not agree.

    Sections are seen one after another, with all else as in 3-D: a patch of ``INPUT_SIZE`` (z, y, x) is z samples of one.
    """
    name = given["MODEL"]["ARCHITECTURE"]
    if not given["DATASET"]["DO_2D"]:
        return
    if name not in OF_SECTIONS:
        raise PytcError(
            f"DATASET.DO_2D is True, and MODEL.ARCHITECTURE {name!r} is no network of sections; "
            f"there are {', '.join(sorted(OF_SECTIONS))}"
        )
    for target in map(str, given["MODEL"]["TARGET_OPT"]):
        code, *rest = target.split("-")
        if code == "a" or (code in MODES and "3d" in rest):
            raise PytcError(f"MODEL.TARGET_OPT has {target!r}, which looks across sections, and DATASET.DO_2D is True")


def within_sections(given: PytcConfiguration, offsets: list[list[int]]) -> list[list[int]]:
    """Those affinities that a configuration means: with ``DO_2D`` not the ones across sections."""
    return [each for each in offsets if each[0] == 0] if given["DATASET"]["DO_2D"] else offsets

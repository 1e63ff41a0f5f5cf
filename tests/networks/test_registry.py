"""Networks of other packages, found by their entry points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from axonloom.networks.layers import NetworkError
from axonloom.networks.registry import architectures, build

MODULE = """
from torch import nn


def narrow(in_channels=1, out_channels=3, width=4):
    return nn.Sequential(nn.Conv3d(in_channels, width, 3, padding=1), nn.Conv3d(width, out_channels, 1))


number = 7
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a package with these entry points where Python finds installed ones."""

    def put(package: str, points: dict[str, str], content: str = MODULE) -> None:
        folder = tmp_path / package
        about = folder / f"{package}-1.0.dist-info"
        about.mkdir(parents=True)
        (folder / f"{package}.py").write_text(content)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (about / "entry_points.txt").write_text(f"[axonloom.networks]\n{lines}")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, package, raising=False)

    return put


def test_another_package_adds_a_network(install) -> None:
    assert "narrow_3d" not in architectures()
    install("lab_one", {"narrow_3d": "lab_one:narrow"})
    assert "narrow_3d" in architectures()
    assert "lab_one" not in sys.modules  # it is imported only when it is needed
    network = build("narrow_3d", out_channels=2, width=5)
    assert network(torch.zeros(1, 1, 3, 4, 5)).shape == (1, 2, 3, 4, 5)
    with pytest.raises(NetworkError, match="'narrow_3d' does not take these parameters"):
        build("narrow_3d", wide=5)
    with pytest.raises(NetworkError, match="did you mean 'narrow_3d'"):
        build("narow_3d")


def test_one_that_registers_itself_too_is_the_same(install) -> None:
    install("lab_two", {"own_3d": "lab_two:own"}, MODULE.replace("def narrow", "@register('own_3d')\ndef own").replace(
        "from torch import nn", "from torch import nn\nfrom axonloom.networks.registry import register"
    ))  # fmt: skip
    for _ in range(2):
        assert build("own_3d", width=2)[0].out_channels == 2


@pytest.mark.parametrize(
    ("points", "name", "says"),
    [
        ({"fpn_3d": "lab_three:narrow"}, "fpn_3d", "'fpn_3d' is given by lab_three and axonloom"),
        ({"gone_3d": "lab_three:gone"}, "gone_3d", "'gone_3d' of lab_three cannot be imported"),
        ({"number_3d": "lab_three:number"}, "number_3d", "'number_3d' of lab_three is no class or function"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_package(install, points: dict, name: str, says: str) -> None:
    install("lab_three", points)
    with pytest.raises(NetworkError, match=says):
        build(name)
    assert build("residual_unet_3d", filters=[4, 4], isotropy=[False, True]) is not None


def test_two_packages_with_one_name_are_said(install) -> None:
    install("lab_four", {"same_3d": "lab_four:narrow"})
    install("lab_five", {"same_3d": "lab_five:narrow"})
    with pytest.raises(NetworkError, match=r"given by lab_f.* and lab_f.*: uninstall one of them"):
        build("same_3d")

"""Volumes behind URLs, from a web server on this machine."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.volumes import VolumeError, create_volume, open_volume

BOX = Box(start=(1, 2, 3), end=(4, 9, 15))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("local", "remote"), [("{}/a.zarr", "{}/a.zarr"), ("precomputed://{}/a", "precomputed://{}/a")]
)
def test_http(local, remote, served, tmp_path):
    made = create_volume(local.format(tmp_path), shape=(5, 12, 17), dtype="uint32", chunk=(2, 8, 8), offset=(1, 2, 3))
    array = np.random.default_rng(0).integers(1, 99, (5, 12, 17)).astype("uint32")
    made.write(made.box, array)
    volume = open_volume(remote.format(served))
    np.testing.assert_array_equal(volume.read(BOX), array[BOX.slices])
    assert volume.offset == (1, 2, 3)
    assert volume.identity() == open_volume(remote.format(served)).identity()
    assert open_volume(remote.format(served), version="2").identity()["version"] == "2"
    volume.sync()
    with pytest.raises(VolumeError, match="through http"):
        volume.write(BOX, array[BOX.slices])
    with pytest.raises(VolumeError):
        create_volume(remote.format(served), shape=(1, 1, 1), dtype="uint8", overwrite=True)
    with pytest.raises(VolumeError, match=r"is not a(n array| zarr array| precomputed layer)"):
        open_volume(remote.format(served + "/nowhere"))


def test_nobody_answers(served):
    port = int(served.rpartition(":")[2])
    with pytest.raises(VolumeError, match="cannot be read"):
        open_volume(f"precomputed://notaprotocol://127.0.0.1:{port}/a")

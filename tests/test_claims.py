"""Several processes at once: one wins a lease, one volume is made, and a process that is killed half-way blocks nobody."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from axonloom import lease
from axonloom.lease import LeaseHeldError, claim

#: Waits for a file to appear, so that all start at once; then does what the second argument says, and prints what became of it.
RACER = """
import os, sys, time
from pathlib import Path
from axonloom.lease import LeaseHeldError, claim
from axonloom.stages.stage_volume import ensure_volume
from axonloom.volumes import open_volume
folder = Path(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    name, at = line.split()
    while time.time() < float(at):
        pass
    if name.startswith("lease"):
        try:
            won = claim(folder / name, "f")
            print("won", won.token, flush=True)
        except LeaseHeldError:
            print("held", 0, flush=True)
    else:
        ensure_volume(folder / name, shape=(4, 8, 8), dtype="uint8", chunk=(4, 8, 8), attributes={"by": os.getpid()})
        print("made", open_volume(str(folder / name)).attributes["by"], flush=True)
"""


class Racers:
    """Processes that do the same at the same moment."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(number)
        ]
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def race(self, name: str) -> list[tuple[str, int]]:
        at = time.time() + 0.02
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{name} {at}\n")
            process.stdin.flush()
        found = []
        for process in self.processes:
            assert process.stdout is not None
            word, number = process.stdout.readline().split()
            found.append((word, int(number)))
        return found

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def racers(tmp_path_factory):
    made = Racers(tmp_path_factory.mktemp("race"), 4)
    yield made
    made.end()


def dead_claim(path: Path, token: int) -> str:
    """What a process that is gone has left in a lease or a marker."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return json.dumps(
        {
            "format_version": 1, "token": token, "claim_id": f"of the dead {token}", "fingerprint": "x",
            "host": socket.gethostname(), "pid": gone.pid, "process_started": time.time(), "renewed_at": 0.0,
            "released": False,
        }
    )  # fmt: skip


def left_behind(folder: Path, name: str) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if name in p.name and p.name != name)


@pytest.mark.parametrize("before", ["nothing", "a dead holder", "a dead holder and a dead claimant", "a released one"])
def test_of_many_that_claim_at_once_one_wins(racers, before):
    for n in range(12):
        name = f"lease-{before.replace(' ', '-')}-{n}"
        path, first = racers.folder / name, 1
        if before.startswith("a dead holder"):
            path.write_text(dead_claim(path, 7))
            first = 8
        if before.endswith("claimant"):
            path.with_name(f"{name}.8").write_text(dead_claim(path, 8))
            first = 9
        if before == "a released one":
            path.write_text(dead_claim(path, 3).replace('"released": false', '"released": true'))
            first = 4
        found = racers.race(name)
        assert sorted(found) == [("held", 0)] * 3 + [("won", first)]
        assert json.loads(path.read_text())["token"] == first
        assert not left_behind(racers.folder, name)


def test_of_many_that_make_a_volume_at_once_one_is_kept_whole(racers):
    from axonloom.volumes import open_volume

    for n in range(12):
        found = racers.race(f"volume-{n}.zarr")
        made = open_volume(str(racers.folder / f"volume-{n}.zarr"))
        assert made.shape == (4, 8, 8)
        # Each found the same volume, whole, as soon as it was told that there is one.
        assert found == [("made", made.attributes["by"])] * 4
        assert not list(racers.folder.glob("building-*"))


#: Claims, and sleeps before or after the first call of a function of a module; lives until its input ends.
STOPS = """
import os, signal, sys
from pathlib import Path
from axonloom import durable, lease
module, name = {"lease": lease, "durable": durable}[sys.argv[2].split(".")[0]], sys.argv[2].split(".")[1]
true = getattr(module, name)
def stop(*arguments, **named):
    setattr(module, name, true)
    if sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGSTOP)
    result = true(*arguments, **named)
    if sys.argv[3] == "after":
        os.kill(os.getpid(), signal.SIGSTOP)
    return result
setattr(module, name, stop)
try:
    print("won", lease.claim(Path(sys.argv[1]), "slow").token, flush=True)
except lease.LeaseHeldError:
    print("held", flush=True)
sys.stdin.read()
"""


class Sleeper:
    """A process that sleeps in the middle of claiming."""

    def __init__(self, path: Path, step: str, when: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", STOPS, str(path), step, when],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        give_up = time.monotonic() + 30
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < give_up
            time.sleep(0.01)

    def wakes(self) -> str:
        """Let it go on; what became of its claim."""
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def dies(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def sleeper(tmp_path):
    made: list[Sleeper] = []

    def make(step: str, when: str) -> Sleeper:
        made.append(Sleeper(tmp_path / "out.lease", step, when))
        return made[-1]

    yield make
    for one in made:
        one.dies()


def test_one_that_slept_while_another_claimed_does_not_win_too(tmp_path, sleeper):
    asleep = sleeper("lease.make_json_once", "before")
    claim(tmp_path / "out.lease", "quick").require()
    assert asleep.wakes() == "held"
    assert not left_behind(tmp_path, "out.lease")


def test_one_that_slept_while_another_claimed_and_released_takes_a_newer_token(tmp_path, sleeper):
    asleep = sleeper("lease.make_json_once", "before")
    first = claim(tmp_path / "out.lease", "quick")
    first.release()
    assert asleep.wakes() == "won 2"


def test_one_that_was_too_late_and_slept_does_not_win_after_all(tmp_path, sleeper):
    first = sleeper("lease.make_json_once", "after")
    second = sleeper("lease.make_json_once", "after")
    assert first.wakes() == "won 1"
    assert second.wakes() == "held"
    assert json.loads((tmp_path / "out.lease").read_text())["pid"] == first.process.pid


@pytest.mark.parametrize("step", ["lease.make_json_once", "durable.sync_file"])
def test_one_that_is_killed_in_the_middle_of_claiming_blocks_nobody(tmp_path, sleeper, step):
    path = tmp_path / "out.lease"
    asleep = sleeper(step, "after")
    if step == "lease.make_json_once":
        with pytest.raises(LeaseHeldError, match=str(asleep.process.pid)):
            claim(path, "mine")
    asleep.dies()
    begin = time.monotonic()
    mine = claim(path, "mine")
    mine.require()
    assert time.monotonic() - begin < 5
    assert mine.token == (2 if step == "lease.make_json_once" else 1)
    assert not [name for name in left_behind(tmp_path, "out.lease") if not name.endswith(".tmp")]


def test_where_there_are_no_links_one_wins_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    first = claim(tmp_path / "out.lease", "a")
    first.require()
    torn = tmp_path / "out.lease.2"
    torn.touch()
    first.release()
    with pytest.raises(LeaseHeldError, match="just now"):
        claim(tmp_path / "out.lease", "b")
    os.utime(torn, (time.time() - 120, time.time() - 120))
    assert claim(tmp_path / "out.lease", "b").token == 3


def test_a_claim_of_this_process_stands_until_it_is_released(tmp_path):
    first = claim(tmp_path / "out.lease", "a")
    with pytest.raises(LeaseHeldError):
        claim(tmp_path / "out.lease", "b")
    first.release()
    assert claim(tmp_path / "out.lease", "b").token == 2
    assert first.claim_id not in lease._STANDING

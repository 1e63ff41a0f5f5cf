from __future__ import annotations

from pathlib import Path

import pytest

from axonloom.training.loss_log import LossLog, LossLogError, read_log


@pytest.mark.parametrize(
    "torn", [b'{"iteration": 9, "lo', b'{"iteration": 9, "loss": 1}', b"\x00\x00\n", b"[1]\n", b""]
)
def test_a_torn_line_is_cut_away(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "loss.jsonl"
    log = LossLog(path, 0)
    for i in range(1, 9):
        log.append({"iteration": i, "loss": i / 7})
    log.close()
    with path.open("ab") as file:
        file.write(torn)
    assert [entry["iteration"] for entry in read_log(path)] == list(range(1, 9))
    log = LossLog(path, 5)
    log.append({"iteration": 6, "loss": 0.5})
    log.close()
    assert read_log(path) == [{"iteration": i, "loss": i / 7} for i in range(1, 6)] + [{"iteration": 6, "loss": 0.5}]
    assert [each.name for each in tmp_path.iterdir()] == ["loss.jsonl"]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loss.jsonl"
    LossLog(path, 0).close()
    assert path.read_text() == '{"format_version": 1}\n'
    path.write_text('{"format_version": 2}\n')
    with pytest.raises(LossLogError, match="newer axonloom"):
        read_log(path)


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert read_log(tmp_path / "loss.jsonl") == []

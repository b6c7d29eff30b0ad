import json

import numpy as np
import pytest

from scsystems.durable import manifest
from scsystems.durable.manifest import checksum, listed, read_record, sealed
from scsystems.errors import ModelFileError

RECORD = {
    "a": [1, 2.5, None, "é\ud800"],
    10: {"b": (1, 2)},
    2: np.float32(0.5),
    "nan": float("nan"),
}


def write(path, record):
    path.write_text(json.dumps(record, indent=1))


def test_checksum_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # the example of the standard (FIPS 180)
    assert checksum(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223b00361a396177a9c")


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "m.json"
    write(path, sealed(RECORD, path.name, {"m.npy": "00"}))
    record = read_record(path)
    assert listed(record) == {"m.npy": "00"}
    assert record["a"] == RECORD["a"]
    assert record["10"] == {"b": [1, 2]}
    assert record["2"] == 0.5
    # how it is written does not matter
    write(path, json.loads(path.read_text()))
    read_record(path)


def test_every_change_is_noticed(tmp_path):
    path = tmp_path / "m.json"
    good = sealed(RECORD, path.name, {"m.npy": "00"})
    for change in (
        lambda r: r.update(x=1),
        lambda r: r["a"].append(1),
        lambda r: r.pop("2"),
        lambda r: r.update({"2": 0.25}),
        lambda r: r["sha256"].update({"m.npy": "01"}),
        lambda r: r["sha256"].pop("m.json"),
    ):
        record = json.loads(json.dumps(good))
        change(record)
        write(path, record)
        with pytest.raises(ModelFileError, match="was changed after it was saved"):
            read_record(path)
    record = json.loads(json.dumps(good))
    record["sha256"] = [1]
    write(path, record)
    with pytest.raises(ModelFileError, match="checksums are not text"):
        read_record(path)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", "\xff", "[" * 100_000, '{"a": ' + "9" * 10_000 + "}", "nul"]
)
def test_what_is_no_record(tmp_path, text):
    (tmp_path / "m.json").write_bytes(text.encode("latin1"))
    with pytest.raises(ModelFileError, match="is damaged"):
        read_record(tmp_path / "m.json")


def test_sizes_are_looked_at_first(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "LARGEST", 10)
    (tmp_path / "m.json").write_text(json.dumps({"a": "b" * 20}))
    with pytest.raises(ModelFileError, match="bytes are too many"):
        read_record(tmp_path / "m.json")


def test_records_of_earlier_versions_have_no_checksums(tmp_path):
    write(tmp_path / "m.json", {"a": 1})
    assert read_record(tmp_path / "m.json") == {"a": 1}
    assert listed({"a": 1}) == {}


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="set cannot be written"):
        sealed({"a": {1}}, "m.json", {})

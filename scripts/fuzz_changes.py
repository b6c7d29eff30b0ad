"""How ``fuzz.py`` damages and forges files."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from scsystems.durable.manifest import SUMS, checksum, sealed


def damage(folder: Path, rng: random.Random) -> None:
    """Change bytes of a file, or files as a whole."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    path = rng.choice(files)
    data = bytearray(path.read_bytes())
    n = len(data)
    a, b = sorted((rng.randrange(n + 1), rng.randrange(n + 1)))
    how = rng.choice(
        [
            "flip",
            "flip",
            "flips",
            "cut",
            "zero",
            "noise",
            "drop",
            "twice",
            "more",
            "gone",
            "empty",
            "swap",
        ]
    )
    if how == "flip":
        data[rng.randrange(n)] ^= 1 << rng.randrange(8)
    elif how == "flips":
        for _ in range(rng.randrange(1, 50)):
            data[rng.randrange(n)] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[a:]
    elif how == "zero":
        data[a:b] = bytes(b - a)
    elif how == "noise":
        b = min(b, a + 200)
        data[a:b] = rng.randbytes(b - a)
    elif how == "drop":
        del data[a:b]
    elif how == "twice":
        data[a:a] = data[a:b]
    elif how == "more":
        data += rng.randbytes(rng.randrange(1, 1000))
    elif how == "empty":
        data.clear()
    if how == "gone":
        path.unlink()
    elif how == "swap" and len(files) > 1:
        other = rng.choice([p for p in files if p != path])
        other_data = other.read_bytes()
        other.write_bytes(bytes(data))
        path.write_bytes(other_data)
    else:
        path.write_bytes(bytes(data))


def reseal(main: Path, record: dict) -> None:
    """Write a JSON file with checksums that fit."""
    names = [name for name in record.pop(SUMS, {}) if name != main.name]
    sums = {name: checksum(main.parent / name) for name in names if (main.parent / name).is_file()}
    main.write_text(json.dumps(sealed(record, main.name, sums)))


def odd(rng: random.Random):
    """Something that no writer would have written."""
    deep: list = []
    for _ in range(rng.choice([5, 500])):
        deep = [deep]
    return rng.choice([
        None, True, False, -1, 0, 1, 2, 3, 7, 30_000, 10**12, 10**30, 0.5, 1.5, -0.1, 1e308, float("nan"), float("inf"),
        "", "x", "../../etc/passwd", "a\0b", "\ud800", "vamp", [], {}, [[]], [None], ["x", "x"], {"x": 1}, deep,
        [0] * 10_000,
    ])  # fmt: skip


def places(value, place=()) -> Iterator[tuple]:
    """Where the entries of a JSON value are."""
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        if key != SUMS:
            yield (*place, key)
            if isinstance(entry, (dict, list)) and entry:
                yield from places(entry, (*place, key))


def forge_json(folder: Path, rng: random.Random) -> None:
    """Replace, drop, add or double an entry."""
    main = rng.choice(sorted(folder.rglob("*.json")))
    record = json.loads(main.read_text())
    everywhere = list(places(record))
    # entries near the top are few, and matter as much as numbers deep in a history
    depth = rng.choice(sorted({len(place) for place in everywhere}))
    *above, key = rng.choice([place for place in everywhere if len(place) == depth])
    at = record
    for step in above:
        at = at[step]
    how = rng.choice(["replace", "replace", "replace", "drop", "add", "double", "borrow"])
    if how == "replace":
        at[key] = odd(rng)
    elif how == "drop":
        del at[key]
    elif how == "add":
        if isinstance(at, dict):
            at["x"] = odd(rng)
        else:
            at.insert(key, odd(rng))
    elif how == "double":
        if isinstance(at[key], list):
            at[key] = at[key] * 2
        elif isinstance(at[key], (int, float)):
            at[key] = at[key] * 2
    elif how == "borrow":
        at[key] = json.loads(json.dumps(_at(record, rng.choice(everywhere))))
    if rng.random() < 0.2:
        # as if an earlier version had written it
        record.pop(SUMS, None)
        main.write_text(json.dumps(record))
    else:
        reseal(main, record)


def _at(record, place):
    for step in place:
        record = record[step]
    return record


def forge_tensors(folder: Path, rng: random.Random) -> None:
    """Change a tensor's type, shape, values or name."""
    path = rng.choice(sorted(folder.rglob("*.safetensors")))
    tensors = load_file(path)
    name = rng.choice(sorted(tensors))
    tensor = tensors[name]
    how = rng.choice(
        [
            "type",
            "shape",
            "empty",
            "nan",
            "negative",
            "huge",
            "noise",
            "name",
            "drop",
            "add",
            "borrow",
        ]
    )
    if how == "type":
        tensors[name] = tensor.to(
            rng.choice([torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool])
        )
    elif how == "shape":
        tensors[name] = rng.choice(
            [tensor.flatten(), tensor[None], tensor.reshape(-1, 1), tensor.T.contiguous()]
        )
    elif how == "empty":
        tensors[name] = tensor.new_empty((0, 10**9))
    elif how == "nan" and tensor.is_floating_point():
        tensors[name] = (
            tensor.clone().view(-1).index_fill_(0, torch.tensor(0), float("nan")).view(tensor.shape)
        )
    elif how == "negative":
        tensors[name] = -tensor.to(torch.float32 if tensor.is_floating_point() else torch.int64) - 1
    elif how == "huge":
        tensors[name] = (
            torch.full_like(tensor, 127) if not tensor.is_floating_point() else tensor * 1e30
        )
    elif how == "noise":
        tensors[name] = torch.randint(0, 100, tensor.shape).to(tensor.dtype)
    elif how == "name":
        tensors[rng.choice(["x", name + "x", name[1:] or "y"])] = tensors.pop(name)
    elif how == "drop":
        del tensors[name]
    elif how == "add":
        tensors[rng.choice(["0.label", "neighbors.index", "x", "optimizer.0.x"])] = tensor.clone()
    elif how == "borrow":
        tensors[name] = tensors[rng.choice(sorted(tensors))].clone()
    save_file(tensors, path)
    main = path.with_suffix(".json")
    reseal(main, json.loads(main.read_text()))


def forge_embedding(folder: Path, rng: random.Random) -> None:
    """Another array for a run, or a header that lies."""
    path = next(folder.rglob("*.npy"))
    array = np.load(path)
    n = len(array)
    choices = [
        np.full_like(array, np.nan), array[:-1], array.ravel(), array.astype(int), array.astype(object),
        array[:, :0], np.array(3.0), np.zeros((n, 2)), array.astype(complex), array.astype("U5"),
    ]  # fmt: skip
    if rng.random() < 0.3:
        data = path.read_bytes().replace(
            b"(120, 3)", rng.choice([b"(99999999999,3)", b"(-1, 3)", b"(0, 3)", b"(1,)*9**9"])
        )
        path.write_bytes(data)
    else:
        np.save(path, rng.choice(choices), allow_pickle=True)
    main = path.with_suffix(".json")
    reseal(main, json.loads(main.read_text()))


def forge_pickle(folder: Path, rng: random.Random) -> None:
    """Change the program in an archive of torch, and the sizes of what lies beside it."""
    path = folder / "m" / "model.pt"
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(n for n in entries if n.endswith("data.pkl"))
    data = bytearray(entries[name])
    for _ in range(rng.choice([1, 1, 1, 3, 20])):
        at = rng.randrange(len(data))
        how = rng.choice(["byte", "flip", "drop", "twice"])
        if how == "byte":
            data[at] = rng.randrange(256)
        elif how == "flip":
            data[at] ^= 1 << rng.randrange(8)
        elif how == "drop":
            del data[at : at + rng.randrange(1, 5)]
        else:
            data[at:at] = data[at : at + rng.randrange(1, 20)]
    entries[name] = bytes(data)
    if rng.random() < 0.2:
        other = rng.choice(sorted(entries))
        entries[other] = entries[other][: rng.randrange(len(entries[other]) + 1)]
    packed = rng.choice([zipfile.ZIP_STORED] * 4 + [zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(path, "w", packed) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)

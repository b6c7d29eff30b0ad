"""Damage and forge what the package reads: each must end in its own error, or in the right result.

    python scripts/fuzz.py --n 1000 --seed 0 [--kinds sysvi scspecies checkpoint tune scvi rds]

Each trial makes a copy of what the package wrote and changes it: bytes are flipped, cut, swapped or
overwritten (*damage*); or an entry of the JSON file or a tensor is replaced by an odd one, and the
checksums made to fit again (*forgery*). Then it is read and used. What may come of it:

    refused    an error of the package
    same       the result of the undamaged copy
    other      another result, finite; of a forgery only: what is consistent cannot be told from a model

and what must not: ``raw`` (another exception), ``wrong`` (damage that gives another result), ``not
finite``, ``memory`` (more than 2 GB), ``hang`` (more than 20 seconds), ``crash``. The script shows each
of these with the seed that makes it again, and ends with status 1 if there is any.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import random
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from safetensors.torch import load_file, save_file

import scsystems as scs
from scsystems.durable.manifest import SUMS, checksum, sealed
from scsystems.errors import ScsystemsError
from scsystems.r.rds_scan import check_rds

ROOT = Path(__file__).resolve().parents[1]
MEMORY = 2 * 2**30
SECONDS = 20
# trials per process: one that crashes takes the others of its process with it
TOGETHER = 100
FINE = {"refused", "same", "other"}


@dataclass(frozen=True)
class Kind:
    """Something the package reads.

    ``make`` writes it into an empty folder, ``read`` reads and uses it and returns numbers;
    ``forge`` are the changes beside damage.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], np.ndarray]
    forge: tuple[Callable[[Path, random.Random], None], ...]


# ---- what the package reads --------------------------------------------------------------------


def cells() -> AnnData:
    counts = scs.datasets.simulated(n_cells=120, n_genes=60, n_types=3, own_types=False, seed=0)
    adata = scs.pp.prepare(counts, system_key="system", n_top_genes=40, min_cells=1)
    adata.obs["score"] = np.linspace(0, 1, adata.n_obs)
    scs.SysVI.setup_anndata(adata, "system", None, ["donor"], ["score"])
    return adata


CELLS = cells()
NET = {"n_hidden": 8, "n_latent": 3, "n_prior_components": 3, "seed": 0}


def make_sysvi(folder: Path) -> None:
    model = scs.SysVI(CELLS.copy(), **NET)
    model.train(max_epochs=2, verbose=False, accelerator="cpu")
    model.save(folder / "m", save_anndata=True)


def read_sysvi(folder: Path) -> np.ndarray:
    model = scs.load(folder / "m")
    for frame in model.history.values():
        frame.to_numpy(float)
    repr(model)
    z = model.get_latent_representation()
    x = model.get_normalized_expression(CELLS[:5].copy(), return_numpy=True)
    again = scs.SysVI.load(folder / "m", CELLS.copy()).get_latent_representation()
    return np.concatenate([z.ravel(), x.ravel(), again.ravel()])


def species(name: str, seed: int, n: int) -> AnnData:
    rng = np.random.default_rng(seed)
    types = rng.integers(0, 3, n)
    rates = np.exp(np.random.default_rng(9).normal(0, 1, (3, 70)))
    adata = AnnData(rng.poisson(rates[types] * 2).astype(np.float32))
    adata.var_names = [f"{name}{i}" for i in range(70)]
    adata.obs_names = [f"{name}cell{i}" for i in range(n)]
    adata.obs["type"] = np.array(["a", "b", "c"])[types]
    return adata


def make_scspecies(folder: Path) -> None:
    numbers = range(60)
    pairs = pd.DataFrame({"mouse": [f"m{i}" for i in numbers], "human": [f"h{i}" for i in numbers]})
    model = scs.ScSpecies(
        {"mouse": species("m", 0, 90)}, {"human": species("h", 1, 80)}, "type", pairs,
        n_neighbors=5, n_latent=3, n_features=8, n_hidden=8, seed=0,
    )  # fmt: skip
    model.train(max_epochs=2, verbose=False, accelerator="cpu")
    model.save(folder / "m")


def read_scspecies(folder: Path) -> np.ndarray:
    model = scs.load(folder / "m")
    repr(model), model.history, model.prototype_record()
    found = [model.get_latent_representation(name) for name in model.species]
    labels = model.transfer_labels()
    found += [
        labels["confidence"].to_numpy(),
        labels["label"].astype("category").cat.codes.to_numpy(),
    ]
    known = scs.ScSpecies.load(folder / "m", {"human": species("h", 1, 80)})
    found.append(known.get_latent_representation("human"))
    return np.concatenate([np.asarray(a, float).ravel() for a in found])


def trained(folder: Path, epochs: int, resume: bool) -> scs.SysVI:
    model = scs.SysVI(CELLS.copy(), **NET)
    model.train(
        max_epochs=epochs, verbose=False, accelerator="cpu", checkpoint_dir=folder / "c",
        checkpoint_every=2, resume=resume,
    )  # fmt: skip
    return model


def make_checkpoint(folder: Path) -> None:
    trained(folder, 2, resume=False)


def read_checkpoint(folder: Path) -> np.ndarray:
    model = trained(folder, 3, resume=True)
    losses = model.history["train_loss"].to_numpy(float)
    return np.concatenate([model.get_latent_representation().ravel(), losses.ravel()])


def searched(folder: Path) -> np.ndarray:
    result = scs.tune.grid(
        CELLS.copy(), {"n_hidden": [8], "n_latent": [3]}, seeds=(0,), folder=folder / "runs", max_epochs=1,
        label_key="cell_type", biology=["nmi_fixed"], metrics=["jaccard"], min_cells=5, n_jobs=1, verbose=False,
    )  # fmt: skip
    result.history(), result.alike
    runs = result.runs.drop(columns="seconds").select_dtypes("number")
    return np.concatenate([runs.to_numpy(float).ravel(), result.embedding().ravel()])


def make_tune(folder: Path) -> None:
    searched(folder)


def make_scvi(folder: Path) -> None:
    shutil.copytree(ROOT / "tests/data/scvi_sysvi/vamp", folder / "m")


def read_scvi(folder: Path) -> np.ndarray:
    stored = np.load(ROOT / "tests/data/scvi_sysvi/cells.npz")
    adata = AnnData(stored["x"])
    adata.var_names = [f"gene{i}" for i in range(12)]
    for key in stored.files:
        if key != "x":
            adata.obs[key] = stored[key]
    adata.layers["log"] = adata.X.copy()
    return scs.SysVI.load(folder / "m").get_latent_representation(adata)


def make_rds(folder: Path) -> None:
    # as saveRDS(list(a = 0:4, b = c("x", NA)), compress = FALSE) writes it
    def text(letters: bytes) -> bytes:
        return struct.pack(">ii", 0x40009, len(letters)) + letters

    names = struct.pack(">ii", 0x402, 1) + text(b"names")
    names += struct.pack(">ii", 16, 2) + text(b"a") + text(b"b") + struct.pack(">i", 254)
    body = struct.pack(">ii", 13, 5) + struct.pack(">5i", *range(5))
    body += struct.pack(">ii", 16, 2) + text(b"x") + struct.pack(">ii", 9, -1)
    head = b"X\n" + struct.pack(">iiii", 3, 0x40202, 0x30500, 5) + b"UTF-8"
    (folder / "a.rds").write_bytes(head + struct.pack(">ii", 0x213, 2) + body + names)


def read_rds(folder: Path) -> np.ndarray:
    check_rds(folder / "a.rds")
    return np.zeros(1)


# ---- damage ------------------------------------------------------------------------------------


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


# ---- forgeries ---------------------------------------------------------------------------------


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


KINDS = {
    "sysvi": Kind(make_sysvi, read_sysvi, (forge_json, forge_tensors)),
    "scspecies": Kind(make_scspecies, read_scspecies, (forge_json, forge_tensors)),
    "checkpoint": Kind(make_checkpoint, read_checkpoint, (forge_json, forge_tensors)),
    "tune": Kind(make_tune, searched, (forge_json, forge_embedding)),
    "scvi": Kind(make_scvi, read_scvi, (forge_pickle,)),
    "rds": Kind(make_rds, read_rds, ()),
}


# ---- trials ------------------------------------------------------------------------------------


class Hang(BaseException):
    """Reading takes too long."""


def _ring(*_) -> None:
    raise Hang


def outcome(kind: Kind, pristine: Path, expected: np.ndarray, seed: int) -> tuple[str, str]:
    """Change a copy and read it: what came of it, and how it was changed or what was said."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        shutil.copytree(pristine, folder)
        change = rng.choice([damage, *kind.forge])
        change(folder, rng)
        signal.alarm(SECONDS)
        try:
            found = kind.read(folder)
        except ScsystemsError as error:
            return "refused", f"{change.__name__}: {error}"
        except MemoryError:
            return "memory", change.__name__
        except Hang:
            return "hang", change.__name__
        except Exception as error:
            return "raw", f"{change.__name__}: {type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
        if not np.isfinite(found).all():
            return "not finite", change.__name__
        if found.shape == expected.shape and np.allclose(
            found, expected, atol=1e-5, equal_nan=True
        ):
            return "same", change.__name__
        return ("wrong" if change is damage else "other"), change.__name__


def together(name: str, pristine: Path, seeds: list[int]) -> list[tuple]:
    """The trials of some seeds in a process of their own, which may crash or never come back."""
    command = [
        sys.executable,
        __file__,
        "--worker",
        str(pristine),
        "--kinds",
        name,
        "--seed",
        *map(str, seeds),
    ]
    done: list[tuple] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while len(done) < len(seeds):
            # the first waits for the imports as well
            patience = SECONDS + (10 if done else 300)
            line = (
                process.stdout.readline()
                if select.select([process.stdout], [], [], patience)[0]
                else None
            )
            if not line:
                what = "hang" if line is None else "crash"
                process.kill()
                done.append((seeds[len(done)], what, f"status {process.wait()}"))
                break
            done.append(tuple(json.loads(line)))
    return done + (together(name, pristine, seeds[len(done) :]) if len(done) < len(seeds) else [])


def work(name: str, pristine: Path, seeds: list[int]) -> None:
    """What the process of `together` does."""
    signal.signal(signal.SIGALRM, _ring)
    expected = np.load(pristine.with_suffix(".npy"))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for seed in seeds:
            said = [seed, *outcome(KINDS[name], pristine, expected, seed)]
            print(json.dumps(said), file=answers, flush=True)


def prepare(name: str, folder: Path) -> np.ndarray:
    """Have the package write what a kind reads; returns the right result."""
    kind = KINDS[name]
    folder.mkdir()
    kind.make(folder)
    with tempfile.TemporaryDirectory() as other:
        shutil.copytree(folder, Path(other) / "copy")
        return kind.read(Path(other) / "copy")


def fuzz(name: str, n: int, seed: int = 0, apart: bool = True) -> list[tuple[int, str, str]]:
    """Trials of a kind: seed, what came of it, and the details.

    Without ``apart`` they run in this process, which shows neither crashes nor memory.
    """
    seeds = [seed * 1_000_000 + i for i in range(n)]
    with tempfile.TemporaryDirectory() as top:
        pristine = Path(top) / name
        expected = prepare(name, pristine)
        if not apart:
            return [(seed, *outcome(KINDS[name], pristine, expected, seed)) for seed in seeds]
        np.save(pristine.with_suffix(".npy"), expected)
        parts = [seeds[start : start + TOGETHER] for start in range(0, n, TOGETHER)]
        return [trial for part in parts for trial in together(name, pristine, part)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1000, help="trials of each kind (default: 1000)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="(default: 0)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--show", action="store_true", help="show what is said of each trial")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    faulthandler.enable()
    torch.set_num_threads(1)
    logging.disable()
    warnings.simplefilter("ignore")
    if options.worker is not None:
        work(options.kinds[0], options.worker, options.seed)
        return 0
    bad = 0
    for name in options.kinds:
        trials = fuzz(name, options.n, options.seed[0])
        counts = Counter(result for _, result, _ in trials)
        print(
            f"{name}: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()), flush=True
        )
        for seed, result, details in trials:
            if result not in FINE or options.show:
                print(f"  seed {seed}: {result}: {details[:300]}")
        bad += sum(n for what, n in counts.items() if what not in FINE)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

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
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from fuzz_changes import damage
from fuzz_targets import KINDS, Kind

from scsystems.errors import ScsystemsError

MEMORY = 2 * 2**30
SECONDS = 20
# trials per process: one that crashes takes the others of its process with it
TOGETHER = 100
FINE = {"refused", "same", "other"}


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

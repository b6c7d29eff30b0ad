"""Kill processes at random moments, and see that nothing is lost and nothing stays behind.

    python scripts/kill_test.py --n 20 --seed 0 [--kinds save cells species checkpoint n_threads tune jobs h5ad zarr]

A process does one thing again and again (saves a model over another, writes checkpoints, searches,
writes a file of cells) until ``kill -9`` ends it after a random time. Then what it wrote is read: it
must be whole, the old or the new. Then the same is done once more, to its end: its result must be
that of a run that nobody killed, and no file or process of ours may be left. The script says how
often the process died while it was writing (there was a hidden folder), and ends with status 1 if
anything was lost or left. What is done is in `kill_targets.py`.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path

import torch
from kill_targets import LostError, kinds, require

from scsystems.errors import ScsystemsError

USERS_FILE = "notes.txt"
# seconds that processes have to notice that the one that began them is gone
LEAVE = 120


def hidden(folder: Path) -> list[Path]:
    """What a dead process has left: hidden folders of ours, and cells among temporary files."""
    return [p for p in folder.rglob("*scsystems-*") if p.is_dir()]


def wait_for_end(session: int) -> None:
    """Wait until the processes of a session are gone; refuses those that stay."""
    end = time.monotonic() + LEAVE
    while (left := processes(session)) and time.monotonic() < end:
        time.sleep(0.05)
    if left:
        os.killpg(session, signal.SIGKILL)
    require(not left, f"{len(left)} processes stayed for {LEAVE} s")


def processes(session: int) -> list[int]:
    """Processes of a session that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # number (name) state parent group session ...
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


def trial(name: str, folder: Path, wait: float) -> bool:
    """Kill a process after a time; whether it was writing."""
    kind = kinds()[name]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
    with subprocess.Popen(
        [sys.executable, __file__, "--child", name, str(folder)],
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as process:
        process.stdout.readline()  # the first time is done
        time.sleep(wait)
        # in one trial of two its own processes die with it: else they have to notice, and clean up
        if random.random() < 0.5:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    wait_for_end(process.pid)
    was_writing = bool(hidden(folder))
    os.environ["TMPDIR"] = tempfile.tempdir = environment["TMPDIR"]
    notes = (
        next((p for p in (folder / "m", folder / "c", folder / "runs") if p.is_dir()), folder)
        / USERS_FILE
    )
    notes.write_text("mine")
    kind.check(folder)
    kind.finish(folder)
    left = [str(p.relative_to(folder)) for p in hidden(folder)]
    require(not left, f"left behind: {left}")
    require(notes.read_text() == "mine", "the user's notes are gone")
    return was_writing


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20, help="kills of each kind (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--kinds", nargs="+", choices=kinds(), default=list(kinds()))
    parser.add_argument(
        "--longest", type=float, default=0.5, help="seconds before the kill (default: 0.5)"
    )
    parser.add_argument("--child", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable()
    warnings.simplefilter("ignore")
    if options.child:
        for _ in kinds()[options.child[0]].act(Path(options.child[1])):
            print("done", flush=True)
        return 0
    random.seed(options.seed)
    bad = 0
    for name in options.kinds:
        writing = lost = 0
        for number in range(options.n):
            with tempfile.TemporaryDirectory(dir="/tmp") as top:
                folder = Path(top)
                (folder / "tmp").mkdir()
                try:
                    writing += trial(name, folder, random.uniform(0, options.longest))
                except (LostError, ScsystemsError, OSError) as error:
                    lost += 1
                    print(f"  {name}, kill {number}: {type(error).__name__}: {error}", flush=True)
        print(
            f"{name}: {options.n} kills, {writing} of them while writing, {lost} losses", flush=True
        )
        bad += lost
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

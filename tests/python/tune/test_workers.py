import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import scsystems as scs
from scsystems.errors import InputError, WorkerError, WriteError
from scsystems.tune import Setting, workers
from scsystems.tune.run import train_one
from scsystems.tune.workers import environment, interpreter, train_together
from scsystems.words import spoken_by

TINY = {"n_hidden": 8, "n_latent": 3, "max_epochs": 1}
# does what the worker does, but for the runs of one seed
FAULTY = workers.BOOT.replace(
    "main()", "import scsystems.tune.worker as w; train = w.train_one; FAULT; main()"
)


@pytest.fixture(scope="module")
def adata():
    adata = scs.pp.prepare(
        scs.datasets.simulated(n_cells=200, n_genes=80, n_types=3, own_types=False, seed=0),
        system_key="system", n_top_genes=60, min_cells=1,
    )  # fmt: skip
    scs.SysVI.setup_anndata(adata, "system", categorical_covariate_keys=["donor"])
    return adata


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    processes = []
    start = workers.subprocess.Popen

    def popen(*args, **kwargs):
        processes.append(start(*args, **kwargs))
        return processes[-1]

    monkeypatch.setattr(workers.subprocess, "Popen", popen)
    return processes


def ended(processes) -> bool:
    return all(process.poll() is not None for process in processes)


def runs(*seeds, **parameters):
    return {f"run{seed}": (Setting(TINY | parameters, "tiny"), seed) for seed in seeds}


def test_runs_are_those_of_one_after_the_other(adata, started):
    found = {run: rest for run, *rest in train_together(adata, runs(0, 1, 2), 2)}
    assert len(started) == 2
    assert ended(started)
    assert set(found) == {"run0", "run1", "run2"}
    for run, (setting, seed) in runs(0, 2).items():
        record, embedding = train_one(adata, setting, seed)
        np.testing.assert_array_equal(found[run][1], embedding)
        for part in ("history", "parameters", "seed", "setting"):
            assert found[run][0][part] == record[part]


def test_a_bad_argument_is_refused_as_it_is_without_processes(adata, started):
    plan = runs(0) | {"bad": (Setting(TINY | {"n_latent": 0}), 0)}
    trained = train_together(adata, plan, 1)
    assert next(trained)[0] == "run0"
    with pytest.raises(InputError, match="n_latent=0") as raised:
        next(trained)
    with pytest.raises(InputError) as alone:
        train_one(adata, *plan["bad"])
    assert str(raised.value) == str(alone.value)
    assert ended(started)


def test_a_process_that_dies_costs_one_run(adata, started, monkeypatch):
    fault = (
        "w.train_one = lambda a, s, seed: "
        "__import__('os').kill(__import__('os').getpid(), 9) if seed == 1 else train(a, s, seed)"
    )
    monkeypatch.setattr(workers, "BOOT", FAULTY.replace("FAULT", fault))
    found = {run: record for run, record, _ in train_together(adata, runs(0, 1, 2), 1)}
    assert "signal 9 (for want of memory, most likely" in found["run1"]["error"]
    assert found["run1"]["setting"] == "tiny"
    assert "error" not in found["run0"]
    assert "error" not in found["run2"]
    assert len(started) == 2


def test_an_unexpected_error_has_the_traceback_of_its_process(adata, monkeypatch):
    monkeypatch.setattr(workers, "BOOT", FAULTY.replace("FAULT", "w.train_one = lambda *a: 1 / 0"))
    with pytest.raises(WorkerError, match="ZeroDivisionError: division by zero") as raised:
        list(train_together(adata, runs(0), 1))
    assert "Traceback" in str(raised.value)


def test_a_process_that_cannot_start_says_why(adata, monkeypatch, started):
    monkeypatch.setattr(workers, "BOOT", "raise SystemExit('no such thing')")
    with pytest.raises(WorkerError, match=r"could not be started.*no such thing.*n_jobs=1"):
        list(train_together(adata, runs(0, 1), 2))
    # the words are those of the door, also in the threads that wait for workers
    with spoken_by("r"), pytest.raises(WorkerError, match=r"could not be started.*n\.jobs = 1"):
        list(train_together(adata, runs(0, 1), 2))
    assert ended(started)


def test_warnings_and_noise_of_a_run(adata, monkeypatch, caplog):
    fault = (
        "w.train_one = lambda *a: (print('noise'), "
        "__import__('logging').getLogger('scsystems.x').warning('logged'), "
        "__import__('warnings').warn('warned'), train(*a))[-1]"
    )
    monkeypatch.setattr(workers, "BOOT", "print('{noise');" + FAULTY.replace("FAULT", fault))
    with pytest.warns(UserWarning, match="warned"):
        (run,) = train_together(adata, runs(0), 1)
    assert run[0] == "run0"
    assert "logged" in caplog.text


def test_an_interrupt_ends_the_processes(adata, started):
    with pytest.raises(KeyboardInterrupt):
        list(_interrupted(train_together(adata, runs(0, max_epochs=100_000), 1)))
    assert ended(started)


def _interrupted(trained):
    """Ctrl-C that strikes while the search waits."""
    module = import_module("scsystems.tune.workers")
    wait, calls = module.wait, []

    def interrupted_wait(*args, **kwargs):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return wait(*args, **kwargs)

    module.wait = interrupted_wait
    try:
        yield from trained
    finally:
        module.wait = wait


def test_the_interpreter_where_python_is_embedded(monkeypatch):
    assert interpreter() == sys.executable
    monkeypatch.setattr(sys, "executable", "/usr/lib/R/bin/exec/R")
    assert Path(interpreter()).resolve() == (Path(sys.prefix) / "bin" / "python3").resolve()
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    with pytest.raises(WorkerError, match=r"'/usr/lib/R/bin/exec/R'.*n_jobs=1"):
        interpreter()


def test_the_environment_of_a_worker():
    plain = environment({"PATH": "/bin", "PYTHONPATH": "/x", "LD_LIBRARY_PATH": "/usr/lib"})
    assert plain == {"PATH": "/bin", "LD_LIBRARY_PATH": "/usr/lib", "OMP_WAIT_POLICY": "passive"}
    own = os.pathsep.join(["/opt/R/lib", "/usr/lib/x86_64-linux-gnu", "/sw/python/lib"])
    in_r = environment({"R_HOME": "/opt/R", "LD_LIBRARY_PATH": own, "OMP_WAIT_POLICY": "active"})
    assert in_r["LD_LIBRARY_PATH"] == "/sw/python/lib"
    assert in_r["OMP_WAIT_POLICY"] == "active"


SEARCH = """
import logging, sys
import scsystems as scs
from scsystems.tune import Setting
from scsystems.tune.workers import train_together
counts = scs.datasets.simulated(n_cells=200, n_genes=80, n_types=3, own_types=False, seed=0)
adata = scs.pp.prepare(counts, system_key="system", n_top_genes=60, min_cells=1)
scs.SysVI.setup_anndata(adata, "system")
long = {"n_hidden": 8, "n_latent": 3, "max_epochs": 1_000_000}
runs = {"short": (Setting(long | {"max_epochs": 1}, "s"), 0), "long": (Setting(long, "l"), 0)}
for run, *_ in train_together(adata, runs, 2):
    print(run, flush=True)
"""


@pytest.mark.parametrize("all_at_once", [False, True])
def test_a_killed_search_leaves_no_cells(tmp_path, monkeypatch, all_at_once):
    """Its processes remove them; if these are killed as well, the next search does."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(scs.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", SEARCH],
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    ) as search:
        assert search.stdout.readline() == b"short\n"
        (folder,) = tmp_path.glob("scsystems-*")
        assert (folder / "cells.json").exists()
        (os.killpg if all_at_once else os.kill)(search.pid, signal.SIGKILL)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if all_at_once:
        (tmp_path / "scsystems-notes").mkdir()
        workers.remove_dead()
        assert [path.name for path in tmp_path.iterdir()] == ["scsystems-notes"]
        return
    end = time.monotonic() + 60
    while list(tmp_path.iterdir()):
        assert time.monotonic() < end, "the cells are still there"
        time.sleep(0.1)


def test_a_full_disk_is_said_in_words(adata, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workers, "write_cells", full)
    with pytest.raises(WriteError, match=r"No space left on device.*TMPDIR"):
        list(train_together(adata, runs(0), 1))
    monkeypatch.undo()
    fault = "w.np.save = lambda *a: (_ for _ in ()).throw(OSError(28, 'No space left on device'))"
    monkeypatch.setattr(workers, "BOOT", FAULTY.replace("FAULT", fault))
    with pytest.raises(WriteError, match=r"No space left on device.*TMPDIR"):
        list(train_together(adata, runs(0), 1))

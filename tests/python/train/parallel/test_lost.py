"""Processes that hang or die: nothing waits for ever, and the result is the same."""

import logging
import os
import pkgutil
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from threading import Event, Thread

import numpy as np
import pytest
import torch

from scsystems import SysVI
from scsystems.train.parallel import forked
from scsystems.train.parallel.forked import can_fork, forked_workers
from scsystems.train.parallel.shared import shared_zeros

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")
HERE = os.getpid()
# nobody waits so long
FOR_EVER = 600
QUICK = {"max_epochs": 3, "batch_size": 32, "n_threads": 3, "verbose": False, "accelerator": "cpu"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(forked, "SECONDS", 1.0)
    monkeypatch.setattr(forked, "LEAVE", 0.5)
    # nor is work done alone because a core is busy
    monkeypatch.setattr("scsystems.train.parallel.pace.Pace.together", lambda pace: True)


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No process of the test, and none that has ended and was not waited for."""
    before = children()
    yield
    assert children() == before


def children():
    """Processes begun by any thread of this one."""
    found = set()
    for thread in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:
            found |= {int(process) for process in file.read().split()}
    return found


def hang(*_):
    time.sleep(FOR_EVER)


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def stop(*_):
    os.kill(os.getpid(), signal.SIGSTOP)


def nothing(*_):
    pass


def generator():
    return torch.Generator().manual_seed(0)


MINIBATCHES = torch.tensor([[1, 2], [3, 4], [5, 6]])
ENDS = {hang: "did not answer in time", stop: "did not answer in time", die: "has ended"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("where", ["minibatch", "step"])
def test_the_first_does_what_a_lost_process_was_at(end, where, caplog):
    drawn, steps = shared_zeros((3, 1), torch.float32), shared_zeros((3,), torch.int64)

    def gradient(number, indices, g, same_weights):
        drawn[number] = torch.randn(1, generator=g)
        if lost and where == "minibatch" and number == 1 and os.getpid() != HERE:
            end()
        return indices.double()

    def update(number, n_gradients, n_steps, lr):
        if lost and where == "step" and number == 2 and os.getpid() != HERE:
            end()
        steps[number] = n_steps + 1

    results = []
    for lost in (False, True):
        with (
            caplog.at_level(logging.WARNING, "scsystems"),
            forked_workers(3, gradient, update) as workers,
        ):
            g, processes = generator(), [worker.process for worker in workers.others]
            for i in range(3):
                losses = workers.gradients(MINIBATCHES, g)
                workers.step(3, i, 0.1)
                results.append((losses.tolist(), drawn.tolist(), steps.tolist()))
            kept = [worker.number for worker in workers.others]
        assert not children() & set(processes)
        assert kept == ([1, 2] if not lost else [2] if where == "minibatch" else [1])
    assert results[3:] == results[:3]
    # said once
    assert caplog.text.count(ENDS[end]) == caplog.text.count("the result is the same") == 1
    assert "n_threads=1" in caplog.text


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("n_cells", [2, 10**6])
def test_a_process_that_never_begins(end, n_cells, monkeypatch, caplog):
    """Not even where a message is longer than the system keeps for it."""
    monkeypatch.setattr(forked, "_serve", end)
    with forked_workers(
        3, lambda number, indices, g, same: indices[:1].double(), nothing
    ) as workers:
        minibatches = torch.arange(3)[:, None].expand(3, n_cells)
        start = time.perf_counter()
        assert workers.gradients(minibatches, generator()).tolist() == [3]
        assert time.perf_counter() - start < 20
        assert workers.others == []
        workers.step(3, 0, 0.1)
        assert workers.gradients(minibatches, generator()).tolist() == [3]
    assert caplog.text.count(ENDS[end]) == 2


def test_a_process_that_dies_between_steps(caplog):
    with forked_workers(2, lambda number, indices, g, same: indices.double(), nothing) as workers:
        os.kill(workers.others[0].process, signal.SIGKILL)
        time.sleep(0.1)
        assert workers.gradients(torch.tensor([[1], [2]]), generator()).tolist() == [3]
    assert ENDS[die] in caplog.text


def test_a_process_that_is_late_is_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(forked, "SECONDS", 60.0)

    def gradient(number, indices, g, same_weights):
        time.sleep(1.0 * (os.getpid() != HERE))
        return indices.double()

    with forked_workers(2, gradient, nothing) as workers:
        assert workers.gradients(torch.tensor([[1], [2]]), generator()).tolist() == [3]
        assert len(workers.others) == 1
    assert caplog.text == ""


def test_how_long_it_is_waited_for_grows_with_what_the_first_takes(monkeypatch, caplog):
    monkeypatch.setattr(forked, "SECONDS", 0.0)

    def gradient(number, indices, g, same_weights):
        time.sleep(0.4 if os.getpid() == HERE else 1.5)
        return indices.double()

    with forked_workers(2, gradient, nothing) as workers:
        assert workers.gradients(torch.tensor([[1], [2]]), generator()).tolist() == [3]
        assert len(workers.others) == 1
    assert caplog.text == ""


def test_a_process_that_hangs_does_not_keep_the_block_from_ending():
    start = time.perf_counter()
    with forked_workers(3, nothing, nothing) as workers:
        for worker in workers.others:
            os.kill(worker.process, signal.SIGSTOP)
    assert time.perf_counter() - start < 10


def test_a_system_that_gives_no_process(monkeypatch, caplog):
    fork, calls = os.fork, []

    def refuse():
        calls.append(1)
        if len(calls) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", refuse)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with forked_workers(4, lambda number, indices, g, same: indices.double(), nothing) as workers:
        assert len(workers.others) == 1
        assert workers.gradients(torch.tensor([[1], [2], [3], [4]]), generator()).tolist() == [10]
    assert "could not be started" in caplog.text
    assert "temporarily unavailable" in caplog.text
    assert "n_threads=1" in caplog.text
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked


def test_a_process_that_hangs_does_not_outlive_a_program_that_is_killed():
    program = """
import os, time
from scsystems.train.parallel.forked import forked_workers
with forked_workers(2, lambda *_: time.sleep(600), lambda *_: time.sleep(600)) as workers:
    print(workers.others[0].process, flush=True)
    # one that has something to do does not see that the other end is closed
    from scsystems.train.parallel.channel import Patience, send
    send(workers.others[0].connection, b"s" + bytes(24), Patience(60))
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as started:
        process = int(started.stdout.readline())
        time.sleep(0.2)
        started.kill()
    for _ in range(100):
        # whoever has taken it over may not have waited for it yet
        with suppress(OSError), open(f"/proc/{process}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return
    os.kill(process, signal.SIGKILL)
    pytest.fail("the forked process was still there")


def train(adata, precision="float32"):
    SysVI.setup_anndata(adata, "system")
    model = SysVI(adata, n_hidden=24, n_latent=4)
    model.train(**QUICK, precision=precision)
    return model


def assert_same(model, expected):
    for one, other in zip(
        model.net.state_dict().values(), expected.net.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    assert {k: v.to_numpy().tolist() for k, v in model.history.items()} == {
        k: v.to_numpy().tolist() for k, v in expected.history.items()
    }
    np.testing.assert_array_equal(
        model.get_latent_representation(), expected.get_latent_representation()
    )


@pytest.fixture
def at_call(monkeypatch):
    """Make something happen in the second process, at its n-th call of a function, before or after the call."""

    def arrange(owner, name, n, end, after):
        function, calls = getattr(owner, name), []

        def called(*args, **kwargs):
            if os.getpid() == HERE:
                return function(*args, **kwargs)
            calls.append(1)
            mine = number_of[0] == 1 and len(calls) == n
            if mine and not after:
                end()
            result = function(*args, **kwargs)
            if mine and after:
                end()
            return result

        serve, number_of = forked._serve, [0]

        def numbered(number, *args):
            number_of[0] = number
            return serve(number, *args)

        monkeypatch.setattr(forked, "_serve", numbered)
        monkeypatch.setattr(owner, name, called)

    return arrange


@pytest.mark.parametrize("end", [hang, die])
@pytest.mark.parametrize(
    ("owner", "name", "n", "after"),
    [
        ("scsystems.train.parallel.statistics.SharedStatistics", "begin", 1, False),
        # it has drawn, and changed the running statistics of its minibatch, some of them or all
        ("scsystems.nn.sysvi.gradients.SysVIGradients", "_encode_rest", 3, True),
        ("scsystems.nn.sysvi.gradients.SysVIGradients", "__call__", 4, True),
        # a block of the parameters has changed, and another one has not
        ("scsystems.train.adam", "adam_pass", 6, True),
        ("scsystems.train.adam.FlatAdam", "steps", 2, True),
    ],
)
def test_training_ends_with_the_same_result(
    adata, monkeypatch, at_call, caplog, end, owner, name, n, after
):
    # parameters of this network are a block otherwise
    monkeypatch.setattr("scsystems.train.parallel.journal.BLOCK", 512)
    expected = train(adata)
    at_call(pkgutil.resolve_name(owner), name, n, end, after)
    assert_same(train(adata), expected)
    assert caplog.text.count(ENDS[end]) == 1


@pytest.mark.parametrize("seed", range(4))
def test_training_ends_with_the_same_result_whenever_a_process_is_killed(adata, seed):
    expected, before, done = train(adata), children(), Event()
    rng = random.Random(seed)

    def kill():
        while not (found := children() - before) and not done.is_set():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.3))
        for process in rng.sample(sorted(found), rng.choice([1, len(found)])):
            with suppress(ProcessLookupError):
                os.kill(process, rng.choice([signal.SIGKILL, signal.SIGSTOP]))

    killer = Thread(target=kill)
    killer.start()
    try:
        assert_same(train(adata), expected)
    finally:
        done.set()
        killer.join()

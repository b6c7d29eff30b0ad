import os
import signal
import time
import warnings

import pytest
import torch

from scsystems.errors import WorkerError
from scsystems.train.parallel.forked import can_fork, forked_workers
from scsystems.train.parallel.shared import shared_zeros

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")
HERE = os.getpid()
FORKED = "this happens in forked processes only"


def generator():
    return torch.Generator().manual_seed(0)


def nothing(*_):
    pass


def has_ended(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_every_minibatch_has_a_process_of_its_own():
    seen = shared_zeros((3, 2), torch.float64)

    def gradient(number, indices, g, same_weights):
        seen[number] = torch.tensor([os.getpid(), float(indices.sum())])
        return indices.double().cumsum(0)

    with forked_workers(3, gradient, nothing) as workers:
        processes = [worker.process for worker in workers.others]
        losses = workers.gradients(torch.tensor([[1, 2], [3, 4], [5, 6]]), generator())
        assert losses.tolist() == [9, 21]
        assert seen[:, 0].tolist() == [os.getpid(), *processes]
        assert seen[:, 1].tolist() == [3, 7, 11]
        # fewer minibatches than processes at the end of an epoch
        assert workers.gradients(torch.tensor([[1, 1]]), generator()).tolist() == [1, 2]
        assert workers.gradients(torch.tensor([[1, 1], [2, 2]]), generator()).tolist() == [3, 6]
        assert seen[2, 1] == 11
    assert all(has_ended(process) for process in processes)


def test_every_process_takes_part_in_the_steps():
    seen = shared_zeros((3, 4), torch.float64)

    def update(number, n_gradients, n_steps, lr):
        seen[number] = torch.tensor([os.getpid(), n_gradients, n_steps, lr]).double()

    with forked_workers(3, nothing, update) as workers:
        workers.step(2, 7, 0.125)
        assert seen[:, 0].tolist() == [os.getpid(), *(m.process for m in workers.others)]
        assert seen[:, 1:].tolist() == [[2, 7, 0.125]] * 3


def test_the_first_does_the_same_alone_where_waiting_does_not_pay():
    numbers = shared_zeros((3, 3), torch.float64)
    known = shared_zeros((3,), torch.float64)

    def gradient(number, indices, g, same_weights):
        known[number] = same_weights
        drawn = float(torch.randn(1, generator=g))
        numbers[number] = torch.tensor([os.getpid(), float(indices.sum()), drawn])
        return numbers[number, 1:].clone()

    def update(number, n_gradients, n_steps, lr):
        numbers[number, 0] += 0.5

    minibatches = torch.tensor([[1, 2], [3, 4], [5, 6]])
    results = []
    for wait in (True, False):
        with forked_workers(3, gradient, update) as workers:
            workers.pace.together = lambda wait=wait: wait
            losses = workers.gradients(minibatches, generator())
            workers.step(3, 0, 0.1)
            results.append((losses, numbers[:, 1:].clone()))
            processes = [os.getpid(), *(m.process if wait else os.getpid() for m in workers.others)]
        assert numbers[:, 0].tolist() == [process + 0.5 for process in processes]
        # a process knows the weights only where it has seen them with the minibatch before
        assert known.tolist() == ([0, 0, 0] if wait else [0, 1, 1])
    for together, alone in zip(*results, strict=True):
        assert torch.equal(together, alone)


def test_random_numbers_differ_between_processes_and_repeat_with_the_seed():
    drawn = shared_zeros((2, 4), torch.float32)

    def gradient(number, indices, g, same_weights):
        drawn[number] = torch.randn(4, generator=g)
        return torch.zeros(1)

    def draw(steps):
        g, out = generator(), []
        with forked_workers(2, gradient, nothing) as workers:
            for _ in range(steps):
                workers.gradients(torch.zeros(2, 1, dtype=torch.int64), g)
                out.append(drawn.clone())
        return torch.cat(out)

    first = draw(3)
    assert len(first.unique()) == first.numel()
    assert torch.equal(first, draw(3))


def test_a_failure_in_a_process_is_told_with_its_traceback():
    def fail(*_):
        if os.getpid() != HERE:
            raise ValueError(FORKED)
        return torch.zeros(1)

    told = f"(?s)n_threads=1.*in fail.*{FORKED}"
    with forked_workers(2, fail, fail) as workers:
        with pytest.raises(WorkerError, match=told):
            workers.gradients(torch.zeros(2, 1, dtype=torch.int64), generator())
        with pytest.raises(WorkerError, match=told):
            workers.step(2, 0, 1e-3)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_processes_end_with_the_block_whatever_ends_it(failure):
    processes = []

    def fail():
        with forked_workers(3, lambda *_: torch.zeros(1), nothing) as workers:
            processes.extend(worker.process for worker in workers.others)
            raise failure

    with pytest.raises(failure):
        fail()
    assert len(processes) == 2
    assert all(has_ended(process) for process in processes)


def test_an_interrupt_is_for_the_first_process_to_understand():
    with forked_workers(
        2, lambda number, indices, g, same_weights: indices.double(), nothing
    ) as workers:
        os.kill(workers.others[0].process, signal.SIGINT)
        time.sleep(0.1)
        minibatches = torch.tensor([[1], [2]])
        assert workers.gradients(minibatches, generator()).tolist() == [3]


def test_an_interrupt_during_the_fork_leaves_no_second_copy_of_the_program(monkeypatch):
    fork = os.fork

    def interrupted():
        process = fork()
        if not process:
            os.kill(os.getpid(), signal.SIGINT)
        return process

    monkeypatch.setattr(os, "fork", interrupted)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with forked_workers(
        2, lambda number, indices, g, same_weights: indices.double(), nothing
    ) as workers:
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked
        assert workers.gradients(torch.tensor([[1], [2]]), generator()).tolist() == [3]


def test_libraries_that_warn_of_forks_are_not_heard(monkeypatch):
    fork = os.fork

    def warn():
        warnings.warn("os.fork() is incompatible with multithreaded code", RuntimeWarning, 2)
        return fork()

    monkeypatch.setattr(os, "fork", warn)
    with forked_workers(
        2, lambda number, indices, g, same_weights: indices.double(), nothing
    ) as workers:
        assert workers.gradients(torch.tensor([[1], [2]]), generator()).tolist() == [3]


@pytest.mark.filterwarnings("ignore")
def test_processes_end_when_the_one_that_forked_them_is_killed():
    read, told = os.pipe()
    child = os.fork()
    if not child:
        with forked_workers(2, lambda *_: torch.zeros(1), nothing) as workers:
            os.write(told, str(workers.others[0].process).encode())
            time.sleep(60)
        os._exit(0)
    process = int(os.read(read, 32))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for _ in range(100):
        if has_ended(process):
            return
        time.sleep(0.05)
    pytest.fail("the forked process is still there")

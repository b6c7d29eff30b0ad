import os

import pytest
import torch

from scsystems.train.parallel.forked import can_fork
from scsystems.train.parallel.shared import shared_zeros


@pytest.mark.parametrize("shape", [(3, 5), (7,), (2, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zeros(shape, dtype):
    zeros = shared_zeros(shape, dtype)
    assert torch.equal(zeros, torch.zeros(shape, dtype=dtype))
    zeros += 1
    assert bool((zeros == 1).all())


@pytest.mark.skipif(not can_fork(), reason="processes are forked on Linux only")
@pytest.mark.filterwarnings("ignore")
def test_a_forked_process_writes_what_this_one_reads():
    values = shared_zeros((4,), torch.float32)
    child = os.fork()
    if not child:
        values[2] = 7
        os._exit(0)
    os.waitpid(child, 0)
    assert values.tolist() == [0, 0, 7, 0]

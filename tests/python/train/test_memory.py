import platform
import subprocess
import sys

FAULTS = """
import resource
import torch
from scsystems.train.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    return sum(t.sum() for t in [torch.ones(2**20) for _ in range(3)])

keep_freed_memory(torch.device("cpu"))
for _ in range(5):
    step()
before = faults()
for _ in range(20):
    step()
print(faults() - before)
"""


def test_steps_do_not_ask_the_system_for_memory_again():
    """Three tensors of 4 MiB have 3,072 pages, which would be asked for in each of 20 steps."""
    found = int(subprocess.check_output([sys.executable, "-c", FAULTS], text=True))
    # the system may move a few pages on its own account
    assert found < (20 * 3_072 / 4 if platform.libc_ver()[0] == "glibc" else 20 * 3_200)

"""How much of the time the GPU works, on what, and what bounds a step."""

from __future__ import annotations

import time

import torch

from scsystems import SysVI

from .bench import Bench, recording

BATCH = 128
# how kernels of products call themselves
PRODUCTS = ("gemm", "cutlass", "cublas", "nvjet", "xmma", "splitk")


def profile(bench: Bench) -> list[dict]:
    """Time of a step, how much of it the GPU works, on what, and what bounds it.

    ``products_at_full_rate``: the products over all genes at the rate of a large one on this GPU;
    ``memory_at_full_rate``: parameters and expression moved as often as a step has to, at the rate
    of a large copy. A step cannot be faster than the longer of the two.
    """
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    if not bench.on_gpu:
        return [{"not_run": "no GPU"}]
    adata = bench.simulated(bench.sizes.cells // 5)
    rows = []
    for recorded in (True, False):
        with recording(recorded):
            _, few = bench.train(adata, 1, batch_size=BATCH)
            model, more = bench.train(adata, 3, batch_size=BATCH)
            with profiler(activities=[ProfilerActivity.CUDA]) as seen:
                _, seconds = bench.train(adata, 2, batch_size=BATCH)
        table = seen.key_averages()
        spent = {e.key: e.self_device_time_total / 1e6 for e in table}
        busy = max(sum(spent.values()), 1e-9)
        products = sum(s for key, s in spent.items() if any(p in key.lower() for p in PRODUCTS))
        most = sorted(spent, key=lambda key: -spent[key])[:5]
        steps = 2 * -(-adata.n_obs // BATCH)
        step = max(more - few, 1e-9) / steps
        floor = floors(bench, model)
        works = busy / steps / step
        if works < 0.7:
            bound = "launches: the GPU waits for the computer"
        elif products > busy / 2:
            bound = "products"
        else:
            bound = "small kernels and memory"
        rows.append(
            {
                "recorded": recorded,
                "step_ms": 1e3 * step,
                "gpu_works": min(works, 1.0),
                "gpu_works_profiled": busy / seconds,
                "share_of_products": products / busy,
                **{name: 1e3 * s for name, s in floor.items()},
                "bound_by": bound,
                "most_time_in": "; ".join(f"{k[:60]} {spent[k] / busy:.0%}" for k in most),
            }
        )
    return rows


def floors(bench: Bench, model: SysVI) -> dict[str, float]:
    """Seconds of a step that no program could save on this GPU."""
    sizes = model.net.sizes
    n_pseudo = len(getattr(model.net.prior, "x", ()))
    encoded, decoded = 2 * BATCH + n_pseudo, 2 * BATCH
    # forwards, gradient of the weight, and of the input, which cells themselves need not
    rows = 2 * encoded + (BATCH + n_pseudo) + 3 * decoded
    flops = 2 * rows * sizes.n_genes * sizes.n_hidden
    n_parameters = sum(p.numel() for p in model.net.parameters())
    # gradient written and read; value, mean and square of Adam read and written
    moved = 4 * (8 * n_parameters + sizes.n_genes * (encoded + decoded))
    return {
        "products_at_full_rate_ms": flops / product_rate(bench),
        "memory_at_full_rate_ms": moved / copy_rate(bench),
    }


def product_rate(bench: Bench, n: int = 8192) -> float:
    """Operations per second of a large product in bfloat16."""
    a = torch.ones(n, n, device=bench.device, dtype=torch.bfloat16)
    return 2 * n**3 / best(bench, lambda: a @ a)


def copy_rate(bench: Bench, n: int = 2**28) -> float:
    """Bytes per second, read and written, of a large copy."""
    a, b = (torch.zeros(n, device=bench.device) for _ in range(2))
    return 2 * 4 * n / best(bench, lambda: a.copy_(b))


def best(bench: Bench, function, tries: int = 5) -> float:
    """Seconds of the fastest of some calls."""
    seconds = []
    for _ in range(tries):
        bench.wait()
        started = time.perf_counter()
        function()
        bench.wait()
        seconds.append(time.perf_counter() - started)
    return min(seconds)

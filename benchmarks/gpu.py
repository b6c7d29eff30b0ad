"""What scsystems does on a GPU: agreement with the CPU, speed, memory, and what bounds it.

    python benchmarks/gpu.py --out gpu                        # simulated cells only
    python benchmarks/gpu.py --out gpu --data prepared.h5ad   # and quality on real ones
    python benchmarks/gpu.py --out dry --device cpu --small   # does it run? (no GPU)

``docs/gpu.md`` says what to install and where to send the result. All parts together take less
than 8 minutes on a data-center GPU; a part that would begin after ``--minutes`` is listed as not
run. After every part ``gpu.json`` and ``gpu.md`` in the folder are written anew, so that a stop
loses nothing. A part that fails is reported with its error, and the next one begins.

``--data`` is log-normalized, as `scsystems.pp.prepare` gives it, with columns for system, sample
and label.
"""

from __future__ import annotations

import argparse
import inspect
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from gpu_parts import PARTS
from gpu_parts.bench import Bench
from gpu_parts.report import environment, write


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--device", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--small", action="store_true", help="sizes for a dry run")
    parser.add_argument("--tiny", action="store_true", help="sizes for a test")
    parser.add_argument("--minutes", type=float, default=7.0, help="when the last part may begin")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--data", help="an .h5ad file of real cells")
    parser.add_argument("--epochs", type=int, default=100, help="of the part quality")
    parser.add_argument("--system", default="system")
    parser.add_argument("--sample", default="donor")
    parser.add_argument("--label", default="cell_type")
    options = parser.parse_args(given)
    if options.device == "gpu" and not torch.cuda.is_available():
        parser.error(
            f"torch {torch.__version__} sees no NVIDIA GPU. Install a build with CUDA and the driver, or see "
            "with --device cpu --small whether all parts run."
        )
    return options


def main(given: Sequence[str] | None = None) -> dict:
    bench = Bench(arguments(given))
    warnings.simplefilter("ignore")
    out = bench.options.out
    out.mkdir(parents=True, exist_ok=True)
    report: dict = {"environment": environment(bench), "parts": {}}
    write(report, out)
    for name in (n for n in PARTS if n in bench.options.parts):
        found: dict = {"what": inspect.cleandoc(PARTS[name].__doc__ or "")}
        started = time.perf_counter()
        if bench.left() <= 0:
            found["rows"] = [{"not_run": "no time left"}]
        else:
            try:
                found["rows"] = PARTS[name](bench)
            except Exception:
                # the other parts' figures are wanted all the same
                found["error"] = traceback.format_exc()
        found["seconds"] = time.perf_counter() - started
        report["parts"][name] = found
        write(report, out)
        print(
            f"{name}: {found['seconds']:.1f} s {found.get('rows', found.get('error'))}", flush=True
        )
    return report


if __name__ == "__main__":
    main()

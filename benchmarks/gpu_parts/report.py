"""What is written: facts of the machine, and a table for every part."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import torch

import scsystems as scs

from .bench import Bench

PACKAGES = ("numpy", "scipy", "anndata", "scanpy", "scvi-tools", "scib-metrics")


def environment(bench: Bench) -> dict:
    """Machine and packages."""
    facts = {
        "scsystems": scs.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": str(bench.device),
        "sizes": str(bench.sizes),
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    if bench.on_gpu:
        properties = torch.cuda.get_device_properties(bench.device)
        facts |= {
            "gpu": properties.name,
            "gpu_gib": properties.total_memory / 2**30,
            "cuda": torch.version.cuda,
            "capability": ".".join(map(str, torch.cuda.get_device_capability())),
        }
    return facts


def write(report: dict, folder: Path) -> None:
    """``gpu.json`` and ``gpu.md``."""
    (folder / "gpu.json").write_text(json.dumps(report, indent=1))
    (folder / "gpu.md").write_text(markdown(report))


def markdown(report: dict) -> str:
    """The report for people."""
    lines = ["# scsystems on a GPU", ""]
    lines += [f"- {name}: {shown(value)}" for name, value in report["environment"].items()]
    for name, found in report["parts"].items():
        lines += ["", f"## {name} ({found['seconds']:.0f} s)", "", found["what"], ""]
        if "error" in found:
            lines.append(f"Failed: {found['error'].splitlines()[-1]}")
            continue
        frame = pd.DataFrame(found["rows"]).astype(object)
        frame = frame.where(frame.notna(), "")
        lines.append("| " + " | ".join(frame.columns) + " |")
        lines.append("|" + "---|" * len(frame.columns))
        lines += ["| " + " | ".join(map(shown, row)) + " |" for row in frame.to_numpy()]
    return "\n".join(lines) + "\n"


def shown(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Training of SysVI: is it right, how fast, and how fast is scvi-tools on the same GPU."""

from __future__ import annotations

import time

import numpy as np

import scsystems as scs

from .bench import SAMPLE, SYSTEM, Bench, first_steps, rate, recording, set_up


def agreement(bench: Bench) -> list[dict]:
    """Losses on the GPU against those on the CPU, and the same seed twice."""
    adata = bench.simulated(bench.sizes.cells // 20)
    options = {"precision": "float32"}
    runs = [bench.train(adata, 10, **options)[0] for _ in range(2)]
    cpu, _ = bench.train(adata, 10, accelerator="cpu", **options)
    once, twice = (model.get_latent_representation() for model in runs)
    loss = {
        where: float(model.history["train_loss"].iloc[-1, 0])
        for where, model in (("cpu", cpu), ("gpu", runs[0]))
    }
    # the CPU's model where the GPU embeds: what is left is the arithmetic
    expected = cpu.get_latent_representation()
    cpu.to_device(bench.device)
    return [
        {
            "loss_cpu": loss["cpu"],
            "loss_gpu": loss["gpu"],
            "relative_difference": abs(loss["gpu"] / loss["cpu"] - 1),
            "same_seed_same_embedding": bool((once == twice).all()),
            "same_seed_largest_difference": float(np.abs(once - twice).max()),
            "same_model_largest_difference": float(
                np.abs(cpu.get_latent_representation() - expected).max()
            ),
        }
    ]


def first_step(bench: Bench) -> list[dict]:
    """Seconds from the call of train() to the end of the first step, in a first call and in a later one."""
    adata = bench.simulated(bench.sizes.cells // 20)
    seconds = []
    for _ in range(2):
        model = scs.SysVI(adata)
        with first_steps(bench) as ended:
            started = time.perf_counter()
            model.train(max_epochs=1, accelerator=bench.options.device, verbose=False)
        seconds.append(ended[0] - started)
    return [{"seconds_first_call": seconds[0], "seconds_later_call": seconds[1]}]


def throughput(bench: Bench) -> list[dict]:
    """Cells per second in training, by minibatch, number format, and recording."""
    adata = bench.simulated(bench.sizes.cells)
    rows = []
    for batch_size in (128, 512, 2048):
        for recorded in (True, False):
            for precision in ("bfloat16", "float32"):
                options = {"batch_size": batch_size, "precision": precision}
                with recording(recorded):
                    _, few = bench.train(adata, 1, **options)
                    _, more = bench.train(adata, 3, **options)
                rows.append(
                    {
                        **options,
                        "recorded": recorded and bench.on_gpu,
                        "cells_per_second": rate(2 * adata.n_obs, few, more),
                    }
                )
    return rows


def peer(bench: Bench) -> list[dict]:
    """scvi-tools' SysVI on the same device, in alternation, minibatches of 128."""
    try:
        import scvi
    except ImportError:
        return [{"not_run": "scvi-tools is not installed"}]
    adata = bench.simulated(bench.sizes.cells // 5)
    quiet = {"enable_progress_bar": False, "logger": None, "enable_checkpointing": False}
    rows = []
    for pair in range(3):
        seconds = {}
        for epochs in (1, 3):
            scvi.settings.seed = pair
            scvi.external.SysVI.setup_anndata(
                adata, batch_key=SYSTEM, categorical_covariate_keys=[SAMPLE]
            )
            model = scvi.external.SysVI(adata)
            with bench.timed() as clock:
                model.train(
                    max_epochs=epochs, accelerator=bench.options.device, batch_size=128, **quiet
                )
            seconds["peer", epochs] = clock.seconds
            set_up(adata)
            _, seconds["ours", epochs] = bench.train(adata, epochs)
        rates = [
            rate(2 * adata.n_obs, seconds[who, 1], seconds[who, 3]) for who in ("peer", "ours")
        ]
        rows.append(
            {
                "scvi_tools": scvi.__version__,
                "cells_per_second_peer": rates[0],
                "cells_per_second_ours": rates[1],
                "ratio": None if None in rates else rates[1] / rates[0],
            }
        )
    return rows


def atlas(bench: Bench) -> list[dict]:
    """An atlas of 2,000 genes with 20 epochs, by the defaults, then with larger minibatches."""
    adata, epochs = bench.simulated(bench.sizes.atlas), bench.sizes.atlas_epochs
    rows: list[dict] = []
    for batch_size in (128, 1024):
        if rows and bench.left() < rows[-1]["seconds"]:
            rows.append({"batch_size": batch_size, "not_run": "no time left"})
            continue
        _, seconds = bench.train(adata, epochs, batch_size=batch_size)
        rows.append(
            {"cells": adata.n_obs, "epochs": epochs, "batch_size": batch_size, "seconds": seconds}
        )
    return rows

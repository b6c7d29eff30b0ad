"""Training of SysVI: arguments and data for the one training loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch

from ... import checks
from ...data.blocks import batch_source, stored
from ...data.resident import Storage
from ...errors import InputError
from ...nn.sysvi.gradients import SysVIGradients, has_fast_gradients
from ...nn.sysvi.latent_gradients import has_closed_form
from ...nn.sysvi.net import SysVIWeights
from ...train.device import choose_device, reduced_precision
from ...train.loop import FitSettings, fit
from ...train.schedules import default_epochs
from ...train.step import Gradients
from ...words import word, written
from ..base import callback_list, split_cells
from . import presets
from .labels import LabelsMixin
from .plan import Plan, read_early_stopping, read_plan
from .surgery import partly_frozen

logger = logging.getLogger(__name__)


class TrainingMixin(LabelsMixin):
    """``train()`` of `SysVI`."""

    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | str | list[int] = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        batch_size: int = 128,
        early_stopping: bool = False,
        plan_kwargs: dict[str, Any] | None = None,
        *,
        check_val_every_n_epoch: int | None = None,
        early_stopping_monitor: str = "elbo_validation",
        early_stopping_min_delta: float = 0.0,
        early_stopping_patience: int = 45,
        early_stopping_warmup_epochs: int = 0,
        early_stopping_mode: Literal["min", "max"] = "min",
        gradient_clip_val: float | None = None,
        callbacks: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: int = 10,
        resume: bool = False,
        storage: Storage = "auto",
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        n_threads: int | None = None,
        seed: int | None = None,
        verbose: bool = True,
        enable_progress_bar: bool | None = None,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the cells; default ``min(round(20000 / n_cells * 400), 250)``, with
            ``preset="paper"`` and for models that scvi-tools saved at most 400.
        accelerator, devices
            ``"auto"`` takes a GPU if there is one, see :func:`scsystems.train.device.choose_device`.
        train_size, validation_size
            Fractions of cells for training and validation. Default: all cells train; 0.9 and 0.1
            with early stopping or when ``check_val_every_n_epoch`` is given.
        shuffle_set_split
            Draw the validation cells at random.
        batch_size
            Cells per minibatch, at least 2; all cells are one minibatch when there are fewer.
        early_stopping
            Stop when ``early_stopping_monitor`` has not improved by ``early_stopping_min_delta``
            for ``early_stopping_patience`` checks, at the earliest after
            ``early_stopping_warmup_epochs``.
        plan_kwargs
            ``kl_weight`` (0.8), ``reconstruction_weight`` (1), ``z_distance_cycle_weight`` (3; 0
            switches the cycle off), ``adversary_weight`` (0),
            ``label_weight`` (2; of the labels, if the model was set up with ``labels_key``),
            ``optimizer`` ("Adam" or "AdamW"), ``lr`` (2e-3), ``eps`` (1e-4), ``weight_decay``
            (1e-6), ``reduce_lr_on_plateau`` with ``lr_factor``, ``lr_patience``,
            ``lr_threshold``, ``lr_scheduler_metric``, ``lr_min``.
            With ``preset="paper"`` ``kl_weight`` is 1, ``z_distance_cycle_weight`` 5, ``lr`` 1e-3
            and ``eps`` 0.01; a model that scvi-tools saved goes on as there, with 1, 2, 1e-3 and
            0.01. KL warm-up is not used: it hurts the cycle model.
        check_val_every_n_epoch
            Epochs between validations, if there are validation cells; default 1.
        early_stopping_monitor, early_stopping_min_delta, early_stopping_patience
            See ``early_stopping``.
        early_stopping_warmup_epochs, early_stopping_mode
            See ``early_stopping``.
        gradient_clip_val
            Largest norm of the gradient.
        callbacks
            Callables ``f(epoch, max_epochs, losses)``, called after each epoch (from 1); training
            stops when one returns ``False``.
        checkpoint_dir, checkpoint_every
            Folder to keep a checkpoint in, and epochs between writings.
        resume
            Go on from the checkpoint in ``checkpoint_dir`` to the identical result.
        storage
            How expression lies on the training device: ``"dense"``, ``"sparse"``, ``"auto"``. Of
            cells on disk ``"auto"`` reads what takes 512 MiB at most when dense; more stays on
            disk, as with ``"disk"``, and comes in blocks. The other two read all.
        precision
            Number format of the products over all genes in training: ``"float32"``,
            ``"bfloat16"``, or ``"auto"``, bfloat16 where the hardware is made for it (CPUs with
            AMX or AVX512_BF16, newer NVIDIA GPUs). Weights, losses and embeddings are always
            float32.
        n_threads
            Cores of the CPU to train on; default one for minibatches of less than 2^20 values
            (cells x genes), else as many threads as torch is set to. With several, each takes a
            minibatch; all gradients are taken at the same weights and applied one after the other,
            so that the result of a seed depends on it. On Linux these are processes forked from
            this one, at most four; if one hangs or dies, this one does its part, with the same
            result and a warning. Elsewhere, and with priors other than the joint ``"vamp"``, they
            are torch's own threads, which gain little and lose much where cores are busy.
        seed
            Seed of minibatches, noise and dropout; default the model's seed. Same seed and
            machine give the same result.
        verbose
            Show a progress bar with the time left.
        enable_progress_bar
            The same as ``verbose``, as scvi-tools calls it.
        """
        # a model that scvi-tools saved has no preset
        defaults = presets.TRAINING[self._arguments.get("preset", "scvi-tools")]
        plan = read_plan(plan_kwargs, defaults["plan"])
        if self._query is not None and not self._query.trains_anything:
            logger.warning(
                "Nothing to train: the query has no new covariate levels, and everything else is frozen."
            )
            return
        if plan.weights.adversary > 0 and self.net.adversary is None:
            raise InputError(
                f"{word('plan_kwargs')} has adversary_weight, but the model was made without "
                f"{written('adversary', True)}."
            )
        weights = self._weights(plan, plan_kwargs)
        stopping = read_early_stopping(
            early_stopping,
            early_stopping_monitor,
            early_stopping_min_delta,
            early_stopping_patience,
            early_stopping_warmup_epochs,
            early_stopping_mode,
        )
        cells = self._require_own().unchanged()
        if max_epochs is None:
            max_epochs = default_epochs(len(cells), defaults["most_epochs"])
        settings = FitSettings(
            max_epochs=max_epochs,
            batch_size=batch_size,
            gradient_clip_val=gradient_clip_val,
            check_val_every_n_epoch=(
                1 if check_val_every_n_epoch is None else check_val_every_n_epoch
            ),
            early_stopping=stopping,
            reduce_lr=plan.reduce_lr,
            n_threads=n_threads,
            checkpoint_dir=checkpoint_dir,
            checkpoint_every=checkpoint_every,
            resume=resume,
            verbose=verbose if enable_progress_bar is None else enable_progress_bar,
            description="SysVI",
            **plan.optimizer,
        )
        validate = stopping is not None or check_val_every_n_epoch is not None
        if validate and train_size is None and validation_size is None:
            train_size = 0.9
        seed = checks.seed(seed, self._arguments["seed"])
        train_at, validation_at = split_cells(
            len(cells), train_size, validation_size, shuffle_set_split, seed
        )
        if stopping is not None and len(validation_at) == 0 and "validation" in stopping.monitor:
            raise InputError(
                f"early_stopping_monitor={stopping.monitor!r} needs validation cells, but train_size={train_size} "
                "leaves none. Give train_size=0.9, or monitor 'elbo_train'."
            )
        device = choose_device(accelerator, devices)
        if settings.batch_size > len(train_at):
            logger.warning(
                "batch_size=%d, but there are %d cells to train on; all are one minibatch.",
                settings.batch_size,
                len(train_at),
            )
        logger.info(
            "Training on %s: %d cells, %d epochs", device, len(train_at), settings.max_epochs
        )
        self.net.to(device)
        own_labels, told = cells.label, None
        if weights.label > 0:
            cells, *told = self._told(cells, validation_at, seed)
        storage = cast(Storage, checks.choice("storage", storage, get_args(Storage)))
        cells = stored(cells, storage)
        train_cells = batch_source(cells, train_at, device, storage)
        validation = (
            batch_source(cells, validation_at, device, storage) if len(validation_at) else None
        )
        generator = torch.Generator(device).manual_seed(seed)

        def loss(batch, epoch: int, generator: torch.Generator, train: bool):
            return self.net.loss(batch, weights, generator, train)

        reduced = reduced_precision(precision, device)
        identity = {
            "data": self._fingerprint,
            "model": self._arguments,
            "weights": str(weights),
            "seed": seed,
            "train_size": train_size,
            "validation_size": validation_size,
            "shuffle": bool(shuffle_set_split),
            "reduced": reduced,
            "query": None if self._query is None else asdict(self._query),
        } | ({"in_blocks": True} if train_cells.in_blocks else {})
        with self.net.reduced_precision(reduced), partly_frozen(self.net, self._query):
            fast_step: Gradients | None = None
            if has_fast_gradients(self.net, weights):
                gradients = SysVIGradients(self.net, weights)

                def fast_step(batch, epoch: int, generator: torch.Generator, same_weights: bool):
                    return gradients(batch, generator, same_weights)

            result = fit(
                self.net,
                loss,
                train_cells,
                settings,
                generator,
                validation,
                callback_list(callbacks),
                identity,
                fast_step,
                fixed=True,
                closed_form=fast_step is not None and has_closed_form(self.net.prior),
                earlier=self._past.history,
            )
        # there are no global latent variables; users of scvi-tools find the key all the same
        for part in ("train", "validation"):
            epochs = [e for e, _ in result.history.get(f"kl_local_{part}", [])]
            if epochs:
                result.history[f"kl_global_{part}"] = [(e, 0.0) for e in epochs]
        self._past.add(result)
        self._train_facts = {
            "seed": seed,
            "device": str(device),
            "weights": vars(weights),
            "optimizer": plan.optimizer,
            "precision": "bfloat16" if reduced else "float32",
            "n_threads": result.n_threads,
        }
        if told is not None and own_labels is not None:
            self._train_facts["labels"] = self._learn_from_labels(own_labels, *told)

    def _weights(self, plan: Plan, given: dict[str, Any] | None) -> SysVIWeights:
        """Weights of the parts of the loss, of which a model without labels has one less."""
        if self.net.classifier is None:
            if plan.weights.label > 0 and "label_weight" in (given or {}):
                raise InputError(
                    f"{word('plan_kwargs')} has label_weight, but the model was set up without {word('cell labels')}."
                )
            return replace(plan.weights, label=0.0)
        # a query's labels teach nothing to a classifier that is frozen
        frozen = self._query is not None and not self._query.unfrozen
        return replace(plan.weights, label=0.0) if frozen else plan.weights

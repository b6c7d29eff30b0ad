"""``fit``: the only training loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from tqdm.auto import tqdm

from .. import checks
from ..data.source import BatchSource, Minibatch
from ..errors import InputError
from ..threads import torch_threads
from .checkpoint import History, check_checkpoints, fingerprint, resume_choice
from .device import current
from .flat import flat_parameters
from .graph import RecordedStep, can_record
from .memory import keep_freed_memory
from .optimizer import make_optimizer
from .parallel.distributed import Group, Replica, joined, process_group
from .parallel.forked import can_fork
from .parallel.statistics import learned_beside
from .run import Run, not_finite, require_finite
from .schedules import EarlyStopping, ReduceLearningRate
from .step import Gradients, Steps, together, validate

logger = logging.getLogger(__name__)

# minibatches of fewer values (cells x genes) train on one thread of the CPU if nothing else is asked for:
# threads that wait for one another at operations of some microseconds gain little, lose much where
# other programs run, and round by their number (benchmarks/NOTES.md)
SMALL_MINIBATCH = 2**20
# gradients are then at most three steps old, with which quality is nearly the same (benchmarks/NOTES.md)
MOST_PROCESSES = 4

# (minibatch, epoch from 0, generator, train) -> named tuple of scalars whose first is the total to minimize
LossFunction = Callable[[Minibatch, int, torch.Generator, bool], Any]
Callback = Callable[[int, int, dict[str, float]], Any]


@dataclass(frozen=True)
class FitSettings:
    """How to train; see the ``train`` method of a model for the meaning of each."""

    max_epochs: int
    batch_size: int = 128
    optimizer: Literal["Adam", "AdamW"] = "Adam"
    lr: float = 1e-3
    eps: float = 0.01
    weight_decay: float = 1e-6
    gradient_clip_val: float | None = None
    check_val_every_n_epoch: int = 1
    early_stopping: EarlyStopping | None = None
    reduce_lr: ReduceLearningRate | None = None
    n_threads: int | None = None
    checkpoint_dir: str | Path | None = None
    checkpoint_every: int = 10
    resume: bool | Literal["auto"] = False
    verbose: bool = True
    description: str = "Training"

    def __post_init__(self):
        given = {
            "max_epochs": checks.count("max_epochs", self.max_epochs),
            "batch_size": checks.count("batch_size", self.batch_size),
            "check_val_every_n_epoch": checks.count(
                "check_val_every_n_epoch", self.check_val_every_n_epoch
            ),
            "checkpoint_every": checks.count("checkpoint_every", self.checkpoint_every),
            "lr": checks.number("lr", self.lr, above=0),
            "eps": checks.number("eps", self.eps, at_least=0),
            "weight_decay": checks.number("weight_decay", self.weight_decay, at_least=0),
            "optimizer": checks.choice("optimizer", self.optimizer, ("Adam", "AdamW")),
            "resume": resume_choice(self.resume),
        }
        if self.n_threads is not None:
            given["n_threads"] = checks.count("n_threads", self.n_threads)
        if self.gradient_clip_val is not None:
            given["gradient_clip_val"] = checks.number(
                "gradient_clip_val", self.gradient_clip_val, above=0
            )
        if given["batch_size"] < 2:
            raise InputError("batch_size=1. Expected at least 2: BatchNorm needs several cells.")
        checks.keep(self, **given)

    def identity(self) -> dict[str, Any]:
        """The settings that change the result of a given number of epochs."""
        free = {
            "max_epochs",
            "n_threads",
            "checkpoint_dir",
            "checkpoint_every",
            "resume",
            "verbose",
            "description",
        }
        return {k: str(v) for k, v in vars(self).items() if k not in free}

    def threads(self, n_genes: int, device: torch.device) -> int | None:
        """Threads to train on; ``None`` for as many as torch is set to."""
        small = self.batch_size * n_genes < SMALL_MINIBATCH
        if self.n_threads is None:
            return 1 if small and device.type == "cpu" else None
        return int(self.n_threads)

    def processes(self, cells: BatchSource, group: Group | None) -> int:
        """Processes to fork, this one counted, where gradients can be computed in several."""
        if self.n_threads is None or cells.device.type != "cpu" or not can_fork():
            return 1
        if self.n_threads > 1 and (cells.in_blocks or group is not None):
            where = "where cells stay on disk" if group is None else "in a process group"
            logger.warning(
                "n_threads=%d: %s no processes are forked; these are torch's own threads.",
                self.n_threads,
                where,
            )
            return 1
        if self.n_threads > MOST_PROCESSES:
            logger.warning(
                "n_threads=%d, but training takes no more than %d cores: each has a minibatch of its own, and with "
                "more of them at the same weights it learns too little from each.",
                self.n_threads,
                MOST_PROCESSES,
            )
        return min(int(self.n_threads), MOST_PROCESSES)


@dataclass
class FitResult:
    """What training leaves besides the weights.

    ``history`` maps ``train_loss``, ``validation_loss`` and ``<part>_train``,
    ``<part>_validation`` to ``[(epoch, value), ...]``, epochs from 0; ``earlier`` is that of the
    trainings before this one. ``n_threads`` are those, or the forked processes, that were at work,
    and ``group_size`` the processes of the group.
    """

    history: History = field(default_factory=dict)
    earlier: History = field(default_factory=dict)
    n_epochs: int = 0
    n_threads: int = 1
    group_size: int = 1
    stopped: Literal["max_epochs", "early_stopping", "interrupted", "callback"] = "max_epochs"


@joined()
def fit(
    net: nn.Module,
    loss: LossFunction,
    train_cells: BatchSource,
    settings: FitSettings,
    generator: torch.Generator,
    validation_cells: BatchSource | None = None,
    callbacks: Sequence[Callback] = (),
    identity: dict[str, Any] | None = None,
    gradients: Gradients | None = None,
    fixed: bool = False,
    closed_form: bool = False,
    earlier: History | None = None,
) -> FitResult:
    """Train ``net`` until ``max_epochs``, early stopping, an interrupt, or a callback that returns ``False``.

    Losses are added up on the device and read once per epoch, so that a GPU never waits for
    the computer within an epoch.

    In a process group (`scsystems.train.parallel.distributed`) all processes call this with the same
    arguments and train on minibatches of their own; a callback of any of them ends training.

    Parameters
    ----------
    net
        The network; only parameters that require a gradient are trained.
    loss
        Called with minibatch, epoch (from 0), generator and whether it is training; returns a
        named tuple of scalar tensors whose first, ``total``, is minimized.
    train_cells, validation_cells
        Cells on the device of ``net``; nonzero counts only with ``gradients`` that take them.
    settings
        How to train.
    generator
        On the device of ``net``; the only source of randomness.
    callbacks
        Called after each epoch with the epoch (from 1), ``max_epochs`` and the epoch's losses.
        Training stops when one returns ``False``.
    identity
        Facts on model and data that a resumed run must share.
    gradients
        In training, takes the place of ``loss`` and its automatic differentiation: a faster way
        to the same. It must write the gradient of every trainable parameter.
    fixed
        Whether a step does the same in every epoch; it is then recorded once on a GPU.
    closed_form
        Whether ``gradients`` do without automatic differentiation. If ``fixed``, too, several
        threads take a minibatch each (`scsystems.train.parallel.forked`).
    earlier
        History of the trainings before this one. It has no effect, but is kept in checkpoints: a
        run that is resumed has the history that it was begun with.

    Raises
    ------
    NonFiniteError
        When a loss is NaN or infinite, naming the part and the epoch.
    """
    group = process_group()
    if settings.checkpoint_dir is not None:
        check_checkpoints(settings.checkpoint_dir)
    device = train_cells.device
    keep_freed_memory(device)
    result = FitResult(earlier=dict(earlier or {}), group_size=1 if group is None else group.n)
    n = settings.processes(train_cells, group) if fixed and closed_form else 1
    facts = settings.identity() | (identity or {})
    processes = {"processes": n} if n > 1 else {}
    key = fingerprint(facts | processes | ({} if group is None else {"group": group.n}))
    trainable = [p for p in net.parameters() if p.requires_grad]
    n_beside = 0 if group is None else sum(t.numel() for t in learned_beside(net))
    is_first = group is None or group.is_first
    try:
        with (
            current(device),
            torch_threads(settings.threads(train_cells.n_genes, device) if n == 1 else 1),
            flat_parameters(trainable, n, n_beside) as flat,
        ):
            result.n_threads = n if n > 1 else torch.get_num_threads()
            optimizer = make_optimizer(
                flat.vector, settings.optimizer, settings.lr, settings.eps, settings.weight_decay
            )
            run = Run(net, optimizer, generator, settings, key, result, group)
            run.resume()
            clip, noise, replica = settings.gradient_clip_val, generator, None
            if group is not None:
                run.begin(group, facts, train_cells, validation_cells)
                replica = Replica(group, flat, net, generator, clip)
                clip, noise = None, replica.noise
            steps = Steps(
                gradients or _automatic(loss, flat.vector),
                flat,
                train_cells,
                settings.batch_size,
                optimizer,
                noise,
                clip,
                replica,
            )
            if fixed and can_record(device):
                steps.record(RecordedStep)
            with (
                together(steps, net) if n > 1 else nullcontext(),
                tqdm(
                    total=settings.max_epochs,
                    initial=result.n_epochs,
                    desc=settings.description,
                    unit="epoch",
                    disable=not (settings.verbose and is_first),
                ) as bar,
            ):
                while result.n_epochs < settings.max_epochs and result.stopped == "max_epochs":
                    epoch = result.n_epochs
                    net.train()
                    losses = steps.train_epoch(epoch)
                    net.eval()
                    if (
                        validation_cells is not None
                        and (epoch + 1) % settings.check_val_every_n_epoch == 0
                    ):
                        size = settings.batch_size
                        losses |= validate(loss, validation_cells, size, noise, epoch, group)
                    require_finite(losses, epoch, settings)
                    bar.update()
                    bar.set_postfix_str(f"loss {losses['train_loss']:.4g}", refresh=False)
                    run.end_epoch(losses, callbacks)
            # no loss has seen what the last step did
            if not torch.isfinite(flat.vector).all():
                raise not_finite("weights", f"epoch {result.n_epochs}", settings)
    except KeyboardInterrupt:
        if group is not None:
            # the others may be some steps further, or wait for this process
            raise
        result.stopped = "interrupted"
        logger.warning(
            "Training was interrupted in epoch %d of %d; the model keeps what it has learned.",
            result.n_epochs + 1,
            settings.max_epochs,
        )
    return result


def _automatic(loss: LossFunction, vector: nn.Parameter) -> Gradients:
    """Gradients by automatic differentiation."""

    def step(batch: Minibatch, epoch: int, generator: torch.Generator, same_weights: bool) -> Any:
        gradient: Any = vector.grad
        gradient.zero_()
        parts = loss(batch, epoch, generator, True)
        parts.total.backward()
        return parts

    return step

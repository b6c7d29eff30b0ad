"""A run of the training loop: what changes from epoch to epoch, where it begins and when it ends."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..data.source import BatchSource
from ..errors import InputError, NonFiniteError
from ..words import argument, word, written
from .checkpoint import (
    Progress,
    has_checkpoint,
    read_checkpoint,
    require_folder,
    write_checkpoint,
)
from .optimizer import set_learning_rate
from .parallel.distributed import Group
from .schedules import Plateau

if TYPE_CHECKING:
    from .loop import Callback, FitResult, FitSettings

logger = logging.getLogger(__name__)

# facts that are no arguments
FACTS = {
    "data": "the fingerprint of the cells",
    "weights": "the weight of each part of the loss",
    "reduced": "training in bfloat16",
}


class Run:
    """What changes from epoch to epoch, and what is written to checkpoints."""

    def __init__(
        self,
        net,
        optimizer,
        generator,
        settings: FitSettings,
        key: str,
        result: FitResult,
        group: Group | None,
    ):
        self.net, self.optimizer, self.generator = net, optimizer, generator
        self.settings, self.key, self.result, self.group = settings, key, result, group
        self.stopping, self.reducing = Plateau(), Plateau()

    def resume(self) -> None:
        """Go on from the checkpoint, if there is to be one."""
        folder = self.settings.checkpoint_dir
        if not self.settings.resume:
            return
        if self.settings.resume == "auto" and not has_checkpoint(require_folder(folder, "auto")):
            return
        progress = read_checkpoint(
            require_folder(folder), self.net, self.optimizer, self.generator, self.key
        )
        self.result.history = progress.history
        self.result.earlier = progress.earlier
        self.result.n_epochs = progress.epoch
        self.stopping, self.reducing = Plateau(**progress.stopping), Plateau(**progress.reducing)
        logger.info("Training goes on after epoch %d", self.result.n_epochs)

    def begin(
        self,
        group: Group,
        facts: dict[str, Any],
        cells: BatchSource,
        validation_cells: BatchSource | None,
    ) -> None:
        """Begin in all processes of a group, with the network of the first."""
        group.require(cells.device)
        n = len(cells)
        for what, there, least in (
            ("cells to train on", n, 2 * group.n),
            ("validation cells", n if validation_cells is None else len(validation_cells), group.n),
        ):
            if there < least:
                raise InputError(
                    f"There are {there} {what} for {group.n} processes. Expected at least {least}. Start fewer."
                )
        group.begin(
            {
                "the number of cells to train on": n,
                word("max_epochs"): self.settings.max_epochs,
                "the last epoch of the checkpoint": self.result.n_epochs,
                "the kind of device": cells.device.type,
                "the version of scsystems": __version__,
                **_in_words(facts),
            }
        )
        group.copy_from_first(self.net)
        if group.is_first:
            logger.info("%d processes train together, each on minibatches of its own", group.n)

    def end_epoch(self, losses: dict[str, float], callbacks: Sequence[Callback]) -> None:
        """Note an epoch's losses, write a checkpoint if it is time, and see whether training ends."""
        settings, result = self.settings, self.result
        epoch = result.n_epochs
        for name, value in losses.items():
            result.history.setdefault(name, []).append((epoch, value))
        result.n_epochs = epoch + 1
        _reduce_learning_rate(self.optimizer, settings, self.reducing, losses)
        stop = _should_stop(settings, self.stopping, losses, epoch)
        writes = self.group is None or self.group.is_first
        if settings.checkpoint_dir is not None and (
            result.n_epochs % settings.checkpoint_every == 0
            or result.n_epochs == settings.max_epochs
        ):
            if writes:
                self._write_checkpoint()
        # every callback is told of the epoch before any of them ends training
        answers = [callback(result.n_epochs, settings.max_epochs, losses) for callback in callbacks]
        ended = any(answer is False for answer in answers)
        if self.group is not None:
            ended = self.group.any(ended, self.generator.device)
        if ended:
            result.stopped = "callback"
        elif stop:
            result.stopped = "early_stopping"
            logger.info("Stopped early after epoch %d", result.n_epochs)

    def _write_checkpoint(self) -> None:
        progress = Progress(
            fingerprint=self.key,
            epoch=self.result.n_epochs,
            history=self.result.history,
            earlier=self.result.earlier,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            stopping=vars(self.stopping),
            reducing=vars(self.reducing),
        )
        write_checkpoint(
            require_folder(self.settings.checkpoint_dir),
            self.net,
            self.optimizer,
            self.generator,
            progress,
        )


def _in_words(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts that decide a result, by what the user calls them."""
    found: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            found |= _in_words(value)
        else:
            found[FACTS.get(name) or argument(name)] = value
    return found


def require_finite(losses: dict[str, float], epoch: int, settings: FitSettings) -> None:
    """Refuse losses that are no numbers, saying which part of the loss they are."""
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        parts = [n for n in bad if n not in ("train_loss", "validation_loss")] or bad
        raise not_finite("loss", f"epoch {epoch + 1} (part: {', '.join(parts)})", settings)


def not_finite(what: str, when: str, settings: FitSettings) -> NonFiniteError:
    """What to say of losses or weights that are no numbers."""
    expected = {"loss": "losses"}.get(what, what)
    return NonFiniteError(
        f"The {what} became NaN or infinite in {when}. Expected finite {expected}. Check the expression for extreme "
        f"values; else lower the learning rate (lr is {settings.lr:g}) or clip gradients "
        f"({written('gradient_clip_val', 5)})."
    )


def _monitored(losses: dict[str, float], monitor: str, argument: str) -> float | None:
    """The monitored value, ``None`` in epochs without validation."""
    if monitor in losses:
        return losses[monitor]
    if monitor in {
        k.replace("train_loss", "validation_loss").replace("_train", "_validation") for k in losses
    }:
        return None
    raise InputError(
        f"{argument}={monitor!r} is not in the history. Expected one of {sorted(losses)}."
    )


def _should_stop(
    settings: FitSettings, state: Plateau, losses: dict[str, float], epoch: int
) -> bool:
    rule = settings.early_stopping
    if rule is None or epoch < rule.warmup_epochs:
        return False
    value = _monitored(losses, rule.monitor, "early_stopping_monitor")
    return value is not None and state.update(value, rule.min_delta, rule.mode) >= rule.patience


def _reduce_learning_rate(
    optimizer, settings: FitSettings, state: Plateau, losses: dict[str, float]
) -> None:
    rule = settings.reduce_lr
    if rule is None:
        return
    value = _monitored(losses, rule.monitor, "lr_scheduler_metric")
    if value is not None and state.update(value, rule.threshold) > rule.patience:
        state.waited = 0
        lr = float(optimizer.param_groups[0]["lr"])
        set_learning_rate(optimizer, max(lr * rule.factor, rule.minimum))

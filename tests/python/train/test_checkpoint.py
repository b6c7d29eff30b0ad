import json
import logging
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from scsystems import files
from scsystems.durable.manifest import SUMS, checksum, sealed
from scsystems.errors import InputError, ModelFileError, WriteError
from scsystems.train.checkpoint import (
    Progress,
    _can_be_reached,
    check_checkpoints,
    fingerprint,
    folders_by_name,
    read_checkpoint,
    write_checkpoint,
)
from scsystems.train.optimizer import make_optimizer


def state(seed=0, steps=3):
    """A network, its optimizer after some steps, and a generator."""
    torch.manual_seed(seed)
    vector = nn.Parameter(torch.randn(5))
    net = nn.Module()
    net.vector = vector
    net.register_buffer("running_var", torch.ones(2))
    vector.grad = torch.randn(5)
    optimizer = make_optimizer(vector, "Adam", 0.1, 1e-8, 0.0)
    for _ in range(steps):
        optimizer.step()
    return net, optimizer, torch.Generator().manual_seed(seed)


PROGRESS = Progress(
    "key", 2, {"loss": [(0, 1.0), (1, 0.5)]}, 0.01, {"best": math.inf, "waited": 0},
    {"best": 0.5, "waited": 1},
)  # fmt: skip


def written(tmp_path):
    net, optimizer, generator = state()
    write_checkpoint(tmp_path, net, optimizer, generator, PROGRESS)
    return net, optimizer, generator


def test_everything_comes_back(tmp_path):
    net, optimizer, generator = written(tmp_path)
    other, its_optimizer, its_generator = state(seed=1, steps=0)
    assert read_checkpoint(tmp_path, other, its_optimizer, its_generator, "key") == PROGRESS
    assert torch.equal(other.vector, net.vector)
    assert torch.equal(its_optimizer.square, optimizer.square)
    assert its_optimizer.n_steps == 3
    assert its_optimizer.param_groups[0]["lr"] == 0.01
    assert torch.equal(its_generator.get_state(), generator.get_state())


def test_a_full_disk_is_a_warning_and_the_last_checkpoint_stays(tmp_path, monkeypatch, caplog):
    written(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_file", full)
        written(tmp_path)
    assert "No checkpoint after epoch 2" in caplog.text
    assert "No space left on device" in caplog.text
    assert "Training goes on" in caplog.text
    assert read_checkpoint(tmp_path, *state(seed=1), "key") == PROGRESS


def test_weights_that_are_not_finite_do_not_replace_good_ones(tmp_path, caplog):
    net, optimizer, generator = written(tmp_path)
    good = net.vector.detach().clone()
    with torch.no_grad():
        net.vector[0] = float("nan")
    with caplog.at_level(logging.WARNING):
        write_checkpoint(tmp_path, net, optimizer, generator, PROGRESS)
    assert "NaN or infinity" in caplog.text
    other = state(seed=1)
    read_checkpoint(tmp_path, *other, "key")
    assert torch.equal(other[0].vector, good)


def test_places_are_looked_at_before_training(tmp_path):
    check_checkpoints(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "thesis.docx").touch()  # beside the checkpoint there may be anything
    check_checkpoints(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "mine.txt").touch()
    with pytest.raises(ModelFileError, match="is not a checkpoint folder"):
        check_checkpoints(tmp_path)
    with pytest.raises(WriteError):
        check_checkpoints("/proc/nowhere")


def forge(tmp_path, change=None, tensors=None):
    folder = tmp_path / "checkpoint"
    weights, main = folder / "checkpoint.safetensors", folder / "checkpoint.json"
    if tensors is not None:
        save_file(tensors(load_file(weights)), weights)
    record = json.loads(main.read_text())
    del record[SUMS]
    if change is not None:
        change(record)
    main.write_text(json.dumps(sealed(record, main.name, {weights.name: checksum(weights)})))


FORGED = {
    "other training": ({"fingerprint": "other"}, InputError, "other data, model or training"),
    "epoch": ({"epoch": 0}, ModelFileError, "training cannot have"),
    "rate": ({"learning_rate": -1.0}, ModelFileError, "training cannot have"),
    "rate, NaN": ({"learning_rate": float("nan")}, ModelFileError, "finite number"),
    "history": ({"history": {"loss": [[0, "x"]]}}, ModelFileError, "finite number"),
    "plateau": ({"stopping": {"best": 1.0}}, ModelFileError, "best value"),
    "plateau, NaN": ({"reducing": {"best": math.nan, "waited": 0}}, ModelFileError, "best value"),
    "more": ({"x": 1}, ModelFileError, "'x'"),
}


@pytest.mark.parametrize("what", FORGED)
def test_no_entry_is_believed(tmp_path, what):
    entries, kind, message = FORGED[what]
    written(tmp_path)
    forge(tmp_path, lambda record: record.update(entries))
    net, optimizer, generator = state(seed=1)
    before = net.vector.detach().clone()
    with pytest.raises(kind, match=message):
        read_checkpoint(tmp_path, net, optimizer, generator, "key")
    assert torch.equal(net.vector, before)


WRONG = {
    "no weights": (lambda t: {k: v for k, v in t.items() if k != "net.vector"}, "vector missing"),
    "other weights": (lambda t: t | {"net.vector": torch.ones(4)}, "of shape"),
    "variance": (lambda t: t | {"net.running_var": -torch.ones(2)}, "below zero"),
    "no optimizer": (lambda t: {k: v for k, v in t.items() if "square" not in k and "sq" not in k},
                     "other sizes"),
    "optimizer": (lambda t: t | {"optimizer.0.exp_avg": torch.ones(4)}, "other sizes"),
    "squares": (lambda t: t | {"optimizer.0.exp_avg_sq": -torch.ones(5)}, "no training leads to"),
    "means": (lambda t: t | {"optimizer.0.exp_avg": 9 * t["optimizer.0.exp_avg_sq"].sqrt()},
              "no training leads to"),
    "large": (lambda t: t | {"optimizer.0.exp_avg": torch.full((5,), 1e30)}, "no training leads to"),
    "steps": (lambda t: t | {"optimizer.0.step": torch.tensor(-1.0)}, "no training leads to"),
    "no generator": (lambda t: {k: v for k, v in t.items() if k != "generator"}, "generator"),
    "generator": (lambda t: t | {"generator": torch.zeros(3, dtype=torch.uint8)}, "generator"),
    "NaN": (lambda t: t | {"net.vector": torch.full((5,), math.nan)}, "NaN"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_no_tensor_is_believed(tmp_path, what):
    change, message = WRONG[what]
    written(tmp_path)
    forge(tmp_path, tensors=change)
    with pytest.raises(ModelFileError, match=message):
        read_checkpoint(tmp_path, *state(seed=1), "key")


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path):
    with pytest.raises(ModelFileError, match="there is no checkpoint"):
        read_checkpoint(tmp_path, *state(), "key")


def test_fingerprints_differ_with_what_they_are_of():
    assert fingerprint({"a": 1}) == fingerprint({"a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_several_trainings_have_a_folder_each_whatever_they_are_called(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folders_by_name(None, ["a"], resume=False) == {}
    names = ["mouse", "Mus musculus", "a/b", "../c", ".", "..", "~"]
    found = folders_by_name("~/c", names, resume=False)
    assert found["mouse"] == tmp_path / "c" / "mouse"
    assert found["Mus musculus"] == tmp_path / "c" / "Mus musculus"
    assert len({path.resolve() for path in found.values()}) == len(names)
    assert {path.resolve().parent for path in found.values()} == {tmp_path / "c"}
    assert list(tmp_path.iterdir()) == []


def test_several_trainings_resume_from_what_there_is(tmp_path):
    with pytest.raises(InputError, match="needs checkpoint_dir"):
        folders_by_name(None, ["a"], resume=True)
    with pytest.raises(ModelFileError, match="there is no checkpoint"):
        folders_by_name(tmp_path, ["a", "b"], resume=True)
    written(tmp_path / "a")
    folders_by_name(tmp_path, ["a", "b"], resume=True)
    (tmp_path / "b" / "checkpoint").mkdir(parents=True)
    (tmp_path / "b" / "checkpoint" / "mine.txt").touch()
    with pytest.raises(ModelFileError, match="is not a checkpoint folder"):
        folders_by_name(tmp_path, ["a", "b"], resume=False)


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e-12, 1.0, 1e12])
@pytest.mark.parametrize("growth", [0.5, 0.9, 1.0, 0.999 / 0.9, 1.5, -1.1])
def test_states_that_gradients_lead_to_are_believed(scale, growth):
    """Gradients that grow or shrink geometrically, the worst case among them, of all sizes."""
    weight = torch.nn.Parameter(torch.zeros(1))
    adam = torch.optim.Adam([weight], lr=0.0)
    for step in range(60):
        weight.grad = torch.tensor([scale * growth ** (step - 60)])
        adam.step()
        assert _can_be_reached(**adam.state[weight])

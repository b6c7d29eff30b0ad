import pytest
import torch

from scsystems.errors import InputError
from scsystems.train import device
from scsystems.train.device import choose_device, reduced_precision


def test_cpu_and_auto(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == "cpu"
    with pytest.raises(InputError, match="sees no NVIDIA GPU"):
        choose_device("gpu")
    with pytest.raises(InputError, match="no Apple GPU"):
        choose_device("mps")
    with pytest.raises(InputError, match="accelerator='tpu' is not known"):
        choose_device("tpu")


def test_gpus_are_chosen_by_index(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert choose_device("gpu", 1) == torch.device("cuda", 0)
    assert choose_device("gpu", [1]) == torch.device("cuda", 1)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(InputError, match="there are 2 GPUs"):
        choose_device("gpu", [2])
    for name in ("cuda:2", "cuda:-1", "cuda:x"):
        with pytest.raises(InputError, match=f"accelerator='{name}', but there are 2 GPUs"):
            choose_device(name)
    with pytest.raises(InputError, match="one model trains on one device"):
        choose_device("gpu", 4)


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(device, "process_group", lambda: object())
    monkeypatch.setenv("LOCAL_RANK", "1")
    for devices in ("auto", -1, 1):
        assert choose_device("auto", devices) == torch.device("cuda", 1)
    assert choose_device("cuda:0") == choose_device("gpu", [0]) == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(
        InputError, match="process 3 of the group on this machine, which has 2 GPUs"
    ):
        choose_device("auto")
    # without torchrun it is the one that the program has chosen
    monkeypatch.delenv("LOCAL_RANK")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert choose_device("auto") == torch.device("cuda", 1)


def test_apple_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"


def test_precision(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert reduced_precision("bfloat16", cpu)
    assert not reduced_precision("float32", gpu)
    for amx, avx512, expected in ((0, 0, False), (1, 0, True), (0, 1, True)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda s=amx: s, raising=False)
        monkeypatch.setattr(
            torch.cpu, "_is_avx512_bf16_supported", lambda s=avx512: s, raising=False
        )
        assert reduced_precision("auto", cpu) is expected
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not reduced_precision("auto", cpu)
    assert not reduced_precision("auto", torch.device("mps"))
    for capability, expected in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert reduced_precision("auto", gpu) == expected

"""Products over all genes in bfloat16 while a species' network is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..kernels.wide import WideLinear
from .net import ScviNet


@contextmanager
def reduced_precision(net: ScviNet, on: bool) -> Iterator[None]:
    """Within the block the products over all genes of ``net`` run in bfloat16, if ``on``."""
    layers = [net.outer] if net.library is None else [net.outer, net.library.hidden]
    decoder = net.decoder
    if on:
        for layer in layers:
            layer.wide = WideLinear(layer.weight, layer.bias, 1)
        decoder.wide = WideLinear(decoder.rho.weight, decoder.rho.bias, 0)
        if decoder.zero is not None:
            decoder.wide_zero = WideLinear(decoder.zero.weight, decoder.zero.bias, 0)
    try:
        yield
    finally:
        for layer in layers:
            layer.wide = None
        decoder.wide = decoder.wide_zero = None

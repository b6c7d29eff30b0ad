"""Compiled loops, padded products, and layers and stacks of them: what hand-written gradients are made of."""

"""Gradients of several minibatches at a time, in several processes."""

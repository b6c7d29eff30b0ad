"""AnnData in, tensors out: what to train on, how it is prepared, and where to get some."""

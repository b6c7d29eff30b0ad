"""Files on a disk that may be full, slow, shared or damaged: replaced whole, read with suspicion."""

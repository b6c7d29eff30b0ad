"""scSpecies: networks on counts, their alignment, and the hand-written gradients, tested equal to the readable ones."""

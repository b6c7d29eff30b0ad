"""Training steps with hand-written gradients, tested equal to the eager ones."""

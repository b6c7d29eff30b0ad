"""The one training loop of all models, its schedules and checkpoints."""

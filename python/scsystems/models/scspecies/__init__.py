"""ScSpecies for AnnData: the class, and what it does after training."""

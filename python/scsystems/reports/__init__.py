"""Reports for people: a model that was trained; what a search found is in `scsystems.tune`."""

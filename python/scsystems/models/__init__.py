"""What people touch: `SysVI` and `ScSpecies`."""

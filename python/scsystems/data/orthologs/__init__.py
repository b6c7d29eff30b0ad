"""Which genes of two species are orthologs: reading and pairing tables of many sources."""

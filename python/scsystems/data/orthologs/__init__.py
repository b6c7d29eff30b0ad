"""Which genes of two species are orthologs: reading and pairing tables of many sources."""

from .tables import Orthologs, Report, match, one_to_one, pair, read

__all__ = ["Orthologs", "Report", "match", "one_to_one", "pair", "read"]

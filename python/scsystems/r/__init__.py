"""The Python side of the R package: what R calls, and how values cross over.

R calls functions in :mod:`scsystems.r.bridge`; nothing here knows how R itself works.
"""

"""Import torch inside an R process so that it runs at its own speed.

R loads a BLAS library into the global symbol scope. A torch imported afterwards binds its
matrix products to that library, which is often the slow reference BLAS, and trains ten to
twenty times slower than in plain Python. ``RTLD_DEEPBIND`` lets torch look into the
libraries it ships first. This has to happen before anything else imports torch.
"""

from __future__ import annotations

import os
import sys

# how torch was imported, for the report to the user
state: dict[str, bool] = {}


def load_torch() -> dict[str, bool]:
    """Import torch bound to its own libraries and say how it went.

    Returns
    -------
    ``already_loaded``: torch had been imported by somebody else, nothing could be done.
    ``own_blas``: torch was imported so that its own libraries come first.
    """
    if state:
        return state
    if "torch" in sys.modules:
        state.update(already_loaded=True, own_blas=False)
        return state
    # Waiting threads that spin take the cores from those that work. torch's OpenMP reads
    # this when it is loaded; a choice the user made stands.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    deepbind = getattr(os, "RTLD_DEEPBIND", None)
    if deepbind is None:  # macOS and Windows resolve symbols per library anyway
        import torch
    else:
        flags = sys.getdlopenflags()
        sys.setdlopenflags(flags | deepbind)
        try:
            import torch  # noqa: F401
        finally:
            sys.setdlopenflags(flags)
    state.update(already_loaded=False, own_blas=True)
    return state

"""Put built vignettes where an ordinary installation of the R package has them: rpkg/inst/doc.

    python scripts/keep_vignettes.py FOLDER [--check]

Pictures are reduced to 64 colors, which their kind does not show, so that the pages stay small in
the repository. Every page says which source it was built from; with ``--check`` nothing is written,
and the exit code is 1 where a page is not that of the source as it stands.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "vignettes"
KEPT = ROOT / "rpkg" / "inst" / "doc"
COLORS = 64


def stamp(source: Path) -> str:
    """The line that says what a page was built from."""
    return f"<!-- built from {source.name} {hashlib.sha256(source.read_bytes()).hexdigest()} -->"


def smaller(image: re.Match) -> str:
    """The same picture in few colors, as text within the page."""
    from PIL import Image

    before = base64.b64decode(image[1])
    picture = Image.open(io.BytesIO(before)).convert("RGB")
    after = io.BytesIO()
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(after, "PNG", optimize=True)
    chosen = min(before, after.getvalue(), key=len)
    return "data:image/png;base64," + base64.b64encode(chosen).decode()


def keep(source: Path, built: Path) -> None:
    """Write a page, and link its source beside it: R looks for both."""
    page = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=]+)", smaller, built.read_text("utf8"))
    page = page.rstrip() + f"\n{stamp(source)}\n"
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / built.name).write_text(page, encoding="utf8")
    link = KEPT / source.name
    if not link.is_symlink():
        link.symlink_to(Path("../../..") / SOURCES.name / source.name)


def stale() -> list[str]:
    """Names of pages that are missing, or were built from another source."""
    pages = {source: KEPT / f"{source.stem}.html" for source in sorted(SOURCES.glob("*.Rmd"))}
    return [
        source.stem
        for source, page in pages.items()
        if not page.exists() or not page.read_text("utf8").rstrip().endswith(stamp(source))
    ]


def main() -> int:
    """Keep the pages of a folder, or look whether those that are kept are up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where the pages were built")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    if not options.check:
        for source in sorted(SOURCES.glob("*.Rmd")):
            built = options.folder / f"{source.stem}.html"
            if built.exists():
                keep(source, built)
    old = stale()
    if old:
        print(
            f"Not of the source as it stands: {', '.join(old)}. Run: make vignettes",
            file=sys.stderr,
        )
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())

"""The version: said in python/scsystems/_version.py, written wherever else one stands.

python scripts/release.py                # fails where another version stands
python scripts/release.py --set 0.3.0    # writes it everywhere
python scripts/release.py --tag v0.3.0   # fails if the tag is of another version
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "python/scsystems/_version.py"
# file -> what stands before the version
PLACES = {
    SOURCE: r'__version__ = "',
    "rpkg/DESCRIPTION": r"Version: ",
    "CITATION.cff": r"version: ",
}
VERSION = r"\d+\.\d+\.\d+"


def versions(root: Path = ROOT) -> dict[str, str]:
    """The version that stands in every place."""
    found = {}
    for name, before in PLACES.items():
        text = (root / name).read_text(encoding="utf8")
        match = re.search(rf"^{before}({VERSION})", text, re.M)
        found[name] = match[1] if match else "none"
    return found


def write(version: str, root: Path = ROOT) -> None:
    """Write the version everywhere."""
    for name, before in PLACES.items():
        path = root / name
        text = path.read_text(encoding="utf8")
        path.write_text(
            re.sub(rf"^({before}){VERSION}", rf"\g<1>{version}", text, flags=re.M), encoding="utf8"
        )


def wrong(tag: str | None = None, root: Path = ROOT) -> list[str]:
    """What is not of the one version, one line each."""
    found = versions(root)
    version = found[SOURCE]
    said = [
        f"{name} has version {there}, {SOURCE} {version}"
        for name, there in found.items()
        if there != version
    ]
    if tag is not None and tag != f"v{version}":
        said.append(f"the tag is {tag}, {SOURCE} has {version}")
    return said


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", metavar="VERSION")
    parser.add_argument("--tag")
    options = parser.parse_args()
    if options.set:
        if not re.fullmatch(VERSION, options.set):
            sys.exit(f"--set {options.set}: expected a version such as 0.3.0")
        write(options.set)
    if said := wrong(options.tag):
        sys.exit("\n".join(said))
    print(versions()[SOURCE])


if __name__ == "__main__":
    main()

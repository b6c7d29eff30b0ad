"""The account that the repository lives under: said in pyproject.toml, written everywhere else.

python scripts/owner.py            # says whose it is, and what is left to fill in
python scripts/owner.py NAME       # writes NAME into every address
python scripts/owner.py --check    # fails where an address names another account
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTING = re.compile(r'^(owner = ")([^"]*)(")$', re.M)
PLACEHOLDER = "OWNER"
# the kinds of address; the second group is the account
ADDRESSES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(github\.com[/:])([A-Za-z0-9-]+)(/scsystems\b)",
        r"(raw\.githubusercontent\.com/)([A-Za-z0-9-]+)(/scsystems\b)",
        r"(https://)([A-Za-z0-9-]+)(\.github\.io/scsystems\b)",
        r"(https://)([A-Za-z0-9-]+)(\.r-universe\.dev\b)",
        r'(install_github\((?:"|&quot;))([A-Za-z0-9-]+)(/scsystems\b)',
    )
)
# what people leave in a text to fill in later
LEFT = re.compile(r"\b(TODO|FIXME|XXX|TBD|YOUR[-_]NAME|example\.com)\b")


def owner(root: Path = ROOT) -> str:
    """The account, as pyproject.toml says it."""
    return SETTING.search((root / "pyproject.toml").read_text(encoding="utf8"))[2]


def texts(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """The files of the repository that are texts."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        path = root / name
        if path.is_symlink() or not path.is_file() or path.name == Path(__file__).name:
            continue
        try:
            yield path, path.read_bytes().decode("utf8")
        except UnicodeDecodeError:
            continue


def named(text: str) -> set[str]:
    """The accounts that a text's addresses name."""
    return {match[2] for address in ADDRESSES for match in address.finditer(text)}


def renamed(text: str, account: str) -> str:
    """A text with another account in all its addresses."""
    for address in ADDRESSES:
        text = address.sub(rf"\g<1>{account}\g<3>", text)
    return text


def write(account: str, root: Path = ROOT) -> list[Path]:
    """Write the account everywhere; returns the files that have changed."""
    from keep_vignettes import stamp

    setting = root / "pyproject.toml"
    text = SETTING.sub(rf"\g<1>{account}\g<3>", setting.read_text(encoding="utf8"))
    setting.write_text(text, encoding="utf8")
    found = list(texts(root))
    pages = {path for path, _ in found if path.parent == root / "rpkg" / "inst" / "doc"}
    sources = {page: root / "vignettes" / f"{page.stem}.Rmd" for page in pages}
    # which pages are of their sources as they stand, before these change
    kept = {page: stamp(source) for page, source in sources.items() if source.is_file()}
    changed = []
    for path, text in found:
        if (new := renamed(text, account)) != text:
            path.write_bytes(new.encode("utf8"))
            changed.append(path)
    for page, before in kept.items():
        text = page.read_text(encoding="utf8")
        page.write_text(text.replace(before, stamp(sources[page])), encoding="utf8")
    return changed


def check(root: Path = ROOT) -> list[str]:
    """What is not as it should be, one line each."""
    account = owner(root)
    wrong = []
    for path, text in texts(root):
        name = path.relative_to(root)
        if others := named(text) - {account}:
            wrong.append(f"{name} has the address of {', '.join(sorted(others))}, not {account}")
        if path.suffix in {".md", ".Rmd", ".toml", ".cff", ".json", ".yml", ".yaml"}:
            wrong += [f"{name} still has {left}" for left in sorted(set(LEFT.findall(text)))]
    return wrong


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("account", nargs="?")
    parser.add_argument("--check", action="store_true", help="fail where something is wrong")
    options = parser.parse_args()
    if options.account:
        if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9])*", options.account):
            sys.exit(f"{options.account!r} cannot be the name of an account.")
        for path in write(options.account):
            print(path.relative_to(ROOT))
    wrong = check()
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        left = owner() == PLACEHOLDER
        print("Left to fill in: the account (OWNER)" if left else f"All addresses name {owner()}")
    if options.check and wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()

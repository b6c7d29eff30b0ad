"""How the documentation site is built: make docs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))
sys.path.insert(0, str(ROOT / "scripts"))

from owner import owner  # noqa: E402

from scsystems import __version__  # noqa: E402

project = "scsystems"
author = "The scsystems authors"
project_copyright = author
version = release = __version__
repository = f"https://github.com/{owner()}/scsystems"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
# what `make docs` puts beside the pages: R's reference and vignettes
html_extra_path = [str(path) for path in [ROOT / "build" / "docs-r"] if path.is_dir()]
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
# notebooks are run, with the code as it stands; an error ends the build
nb_execution_mode = "force"
nb_execution_show_tb = True
nb_execution_timeout = 240
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "groupwise"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "inherited-members": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"scsystems {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "source_repository": repository,
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def to_repository(app, name: str, source: list[str]) -> None:
    """Links of a page to files that are not of the site lead to the repository."""
    folder = Path(app.env.doc2path(name)).parent

    def link(match: re.Match) -> str:
        target, anchor = match[1], match[2] or ""
        path = (folder / target).resolve()
        if path.is_relative_to(ROOT / "docs") or not path.is_relative_to(ROOT):
            return match[0]
        kind = "tree" if path.is_dir() else "blob"
        return f"]({repository}/{kind}/main/{path.relative_to(ROOT)}{anchor})"

    source[0] = re.sub(r"\]\((\.\.?/[^)#\s]+)(#[^)\s]*)?\)", link, source[0])


def included(app, path, parent: str, content: list[str]) -> None:
    """The same for files of the repository that a page includes, whose links start at the root."""
    if Path(path).suffix != ".md":
        return

    def link(match: re.Match) -> str:
        target = match[1]
        if target.startswith("docs/") and (ROOT / target).suffix == ".md":
            up = "../" * parent.count("/")
            return f"]({up}{target.removeprefix('docs/')}{match[2] or ''})"
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"]({repository}/{kind}/main/{target}{match[2] or ''})"

    content[0] = re.sub(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)", link, content[0])


def setup(app) -> None:
    """Connect the above."""
    app.connect("source-read", to_repository)
    app.connect("include-read", included)

"""The site that `make docs` builds from these pages and the docstrings."""

from typing import Any

import rnnkit

project = "rnnkit"
author = project_copyright = "the authors of rnnkit"
release = version = rnnkit.__version__
html_title = f"rnnkit {version}"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
exclude_patterns = ["_build"]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_heading_anchors = 3  # pages link to each other's headings
default_role = "code"  # `x` in a docstring is code
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # an overridden Lightning hook needs none
add_module_names = False
suppress_warnings = ["myst.xref_missing"]


def skip_aliases(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """A field of a NamedTuple is described in the docstring of its class."""
    return True if (getattr(member, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_aliases)

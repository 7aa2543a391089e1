"""The site that `make docs` builds from these pages and the docstrings."""

import rnnkit

project = "rnnkit"
author = "the authors of rnnkit"
release = version = rnnkit.__version__
html_title = f"rnnkit {version}"
html_theme = "furo"
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

"""The documentation site: `make docs` writes it to docs/_build/html, with warnings as errors.

Hand-written pages are the Markdown files of this folder. The notebooks in notebooks/ are committed without outputs and
executed by the build, which fails where a cell does; what did not change comes from a cache in _build/. Pages of the
API, of the command line, of the JSON schemas and of the gallery are generated into docs/generated/ before the build
(`_site/`), as reStructuredText, which the test suite does not collect.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from _site import api_pages, cli_pages, gallery_pages, schema_pages  # noqa: E402  # the folder is on the path from here on

import featinv  # noqa: E402

project = "featinv"
author = "the featinv authors"
release = version = featinv.__version__
copyright = "the featinv authors; Apache-2.0"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_site"]

# Headings down to the third level are link targets by GitHub's rule, so that links work there and on the site.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# Progress bars and log lines are for terminals. The working folder of a notebook is temporary.
os.environ.update(FEATINV_PROGRESS="0", WANDB_MODE="offline")
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"
nb_merge_streams = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
default_role = "literal"
nitpicky = True
# Two packages export a class and its protocol under one name (`encoders.Encoder`, `types.Encoder`).
suppress_warnings = ["ref.python"]
# Shapes in annotations ("B K") and classes of other libraries are no targets of this site.
nitpick_ignore_regex = [(r"py:.*", r".*")]

html_theme = "furo"
html_title = "featinv"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
# The JSON schemas, at the top of the site.
html_extra_path = ["generated/json"]
pygments_style = "friendly"
pygments_dark_style = "native"


def list_new_pages(app, docname, source):
    """Append to the index what its toctrees do not name, so that a new page is in the navigation at once."""
    if docname == "index":
        listed = {line.strip() for line in source[0].splitlines()} | {"index"}
        new = [name for name in sorted(app.env.found_docs) if name not in listed and not name.startswith("generated/")]
        source[0] += "\n```{toctree}\n:hidden:\n:caption: More\n\n" + "\n".join(new) + "\n```\n" if new else ""


def setup(app):
    """Write the generated pages before Sphinx looks for sources."""
    generated = HERE / "generated"
    api_pages.write(generated / "api")
    cli_pages.write(generated / "cli")
    gallery_pages.write(HERE / "results", generated / "gallery")
    schema_pages.write(generated / "schemas", generated / "json")
    app.connect("source-read", list_new_pages)
    app.connect("autodoc-process-docstring", api_pages.escape_docstring)

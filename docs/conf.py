"""Sphinx reads this: `make docs` builds the site into build/docs and fails on a broken link."""

project = "genq"
author = "the genq authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "genq"
html_show_sourcelink = False
# A guide links to the code; that is a file of the repository, not a page of the site.
myst_heading_anchors = 3

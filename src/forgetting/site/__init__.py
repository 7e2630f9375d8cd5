"""Pages that are made and not written: their values are gathered here, their words are templates.

`templates/*.md.jinja` become MyST pages, `*.html.jinja` and `*.svg.jinja` HTML whose values are
escaped. Nothing here measures or trains.
"""

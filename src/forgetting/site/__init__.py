"""The book's pages and their build.

The values of generated pages are gathered here, their words are `templates/`: `*.md.jinja` become
MyST, `*.html.jinja` and `*.svg.jinja` HTML whose values are escaped. Nothing measures or trains.
"""

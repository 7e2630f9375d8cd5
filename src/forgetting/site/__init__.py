"""The book's pages and their build.

What is made and not written: its values are gathered here, its words are `templates/`. Of these,
`*.md.jinja` become MyST pages, `*.html.jinja` and `*.svg.jinja` HTML whose values are escaped.
Nothing here measures or trains.
"""

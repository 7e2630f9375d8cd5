"""The pages' fonts: cut from packages to the letters that a page may have, and served by the site.

Their licence (SIL OFL 1.1) keeps the name of the fonts for the whole ones, so the cut ones have
none: pages call them "Book Serif" and "Book Sans" (custom.css). Chinese is the reader's own font.
"""

from importlib.resources import files
from pathlib import Path

from fontTools import subset

LETTERS = (
    (0x20, 0x17F),  # Latin
    (0x370, 0x3FF),  # Greek
    (0x1E00, 0x1EFF),
    (0x2000, 0x214F),  # punctuation, superscripts, currencies
    (0x2190, 0x22FF),  # arrows, operators
    (0x25A0, 0x26FF),
)
FEATURES = ("kern", "liga", "ccmp", "locl", "mark", "mkmk", "sups", "subs")
COPYRIGHT_AND_LICENCE = (0, 13, 14)


# By the names that custom.css gives the files: packages `font_source_…_pro`, and ends of files.
FAMILIES = ("serif", "sans")
FACES = {"regular": "Regular", "italic": "It", "bold": "Semibold"}


def write(folder: Path) -> None:
    """Write `<family>-<face>.woff` and each family's licence. Raises `ModuleNotFoundError`."""
    folder.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        source = files(f"font_source_{family}_pro") / "files"
        (folder / f"{family}-licence.txt").write_bytes((source / "LICENSE.txt").read_bytes())
        for face, end in FACES.items():
            whole = Path(str(source / f"Source{family.capitalize()}Pro-{end}.ttf"))
            cut(whole, folder / f"{family}-{face}.woff")


def cut(font: Path, target: Path) -> None:
    """A font with `LETTERS` and without a name; the same bytes each time."""
    options = subset.Options(
        flavor="woff",
        hinting=False,
        notdef_outline=True,  # a letter that no font of the reader has is seen to be missing
        layout_features=list(FEATURES),
        name_IDs=list(COPYRIGHT_AND_LICENCE),
    )
    whole = subset.load_font(str(font), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[c for first, last in LETTERS for c in range(first, last + 1)])
    subsetter.subset(whole)
    subset.save_font(whole, str(target), options)

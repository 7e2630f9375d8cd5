"""A page as a visitor's Chromium makes it: what its scripts have done to it."""

import shutil
import subprocess

import pytest

QUIET = ("background-networking", "component-update", "sync", "gpu", "quic")


def seen(folder, html, view=""):
    """The page as it stands after its scripts have run, at an address that ends in `view`."""
    if not shutil.which("chromium"):
        pytest.skip("needs chromium")
    page = folder / "page.html"
    page.write_text(html)
    command = ["chromium", "--headless", "--no-sandbox", "--no-first-run", "--dump-dom"]
    command += [f"--disable-{what}" for what in QUIET]
    command += [f"--user-data-dir={folder / 'profile'}", f"{page.as_uri()}{view}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

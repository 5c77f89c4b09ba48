"""The README's pictures: the page of a recorded run, and the comment on a pull request that is worse.

    python -m benchmarks.pictures

Both are replayed from the committed recordings, and photographed in Debian's chromium.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from playwright.sync_api import Browser, sync_playwright

from promptlab.report import markdown

from . import demo

ROOT = Path(__file__).parent.parent
SIZE = {"width": 1200, "height": 800}
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; color: #1f2328; margin: 24px auto; width: 900px }
article { border: 1px solid #d1d9e0; border-radius: 6px; padding: 16px }
h2 { font-size: 1.5em; border-bottom: 1px solid #d1d9e0; padding-bottom: .3em; margin: 0 0 16px } h3 { font-size: 1.25em }
table { border-collapse: collapse; margin: 16px 0 } th, td { border: 1px solid #d1d9e0; padding: 6px 13px }
code, pre { font: 85%/1.45 ui-monospace, monospace; background: #f6f8fa; border-radius: 6px; white-space: pre-wrap }
code { padding: .2em .4em } pre { padding: 16px } ul { padding-left: 2em }
.cross { color: #cf222e }
"""


def page() -> Path:
    """Replay an optimization; return its page."""
    demo.optimization()
    return demo.PAGES / "duplicates-optimize-0.html"


def comment(folder: Path) -> Path:
    """Judge a pull request that makes a prompt worse; return its comment as HTML."""
    # The hash of the commit is in the picture.
    os.environ |= dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-11-01T12:00:00Z")
    said = markdown.document([demo.pull_request(folder)])
    text = MarkdownIt("gfm-like", {"html": True}).render(said)
    text = text.replace("❌", "<b class=cross>✕</b>")  # not every machine has a font with emoji
    path = folder / "comment.html"
    path.write_text(
        f"<!DOCTYPE html><meta charset=utf-8><style>{STYLE}</style><article>{text}</article>",
        encoding="utf-8",
    )
    return path


def photograph(browser: Browser, path: Path, name: str) -> None:
    """Take a picture of the top of a page."""
    shown = browser.new_page(viewport=SIZE, device_scale_factor=1, color_scheme="light")
    shown.goto(path.as_uri())
    target = ROOT / "docs" / name
    shown.screenshot(path=target)
    sys.stdout.write(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB\n")


def main() -> None:
    """Take both."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise SystemExit("chromium is not installed (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        shown = {"page.png": page(), "comment.png": comment(Path(folder))}
        with (
            sync_playwright() as driver,
            driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser,
        ):
            for name, path in shown.items():
                photograph(browser, path, name)


if __name__ == "__main__":
    main()

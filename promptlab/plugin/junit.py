"""The JUnit XML where a project publishes no texts: what a test said may hold some."""

from pathlib import Path
from xml.etree import ElementTree

SAID = ("failure", "error", "skipped", "system-out", "system-err")
WITHHELD = "withheld, since publish_texts is false; the terminal has it"


def withhold(path: Path) -> None:
    """Replace what tests said and printed; the decisions on prompts, which hold ids only, stay."""
    if not path.exists():
        return
    tree = ElementTree.parse(path)  # noqa: S314 - pytest's own
    for parent in list(tree.iter()):
        names = {one.get("name") for one in parent.iter("property")}
        if parent.tag == "testcase" and (
            "promptlab.verdict" in names or parent.get("classname") == "promptlab"
        ):
            continue
        for one in parent:
            if one.tag in SAID:
                one.text = WITHHELD
                one.attrib.update({"message": WITHHELD} if "message" in one.attrib else {})
    tree.write(path, encoding="utf-8", xml_declaration=True)

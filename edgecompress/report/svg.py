"""Make matplotlib's SVG a part of an HTML page.

Colours are drawn as placeholders and become CSS variables here, so that one drawing serves light
and dark.
"""

import re
import xml.etree.ElementTree as ET

from edgecompress.shown import shown

# Placeholders: the values only have to differ from one another.
INK, MUTED, GRID, SURFACE = "#000001", "#000002", "#000003", "#000004"
BASELINE, CANDIDATE = "#000011", "#000012"
INT8, FLOAT, OTHER, REMOVED = "#000021", "#000022", "#000023", "#000024"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    SURFACE: "--surface",
    BASELINE: "--baseline",
    CANDIDATE: "--candidate",
    INT8: "--int8",
    FLOAT: "--float",
    OTHER: "--other",
    REMOVED: "--removed",
}
_COLOUR = re.compile("|".join(_VARIABLES))
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"


def inline(document: str, chart_id: str, title: str) -> str:
    """The <svg> element of a matplotlib document, scalable, titled, its ids made the page's own.

    Args:
        document: What matplotlib wrote.
        chart_id: Becomes the element's id, and the prefix of all ids in it.
        title: What a screen reader calls it.

    """
    root = ET.fromstring(document)  # noqa: S314 - written by matplotlib a moment ago
    for parent in root.iter():
        for child in list(parent):
            # matplotlib's own <style> would apply to the whole page.
            if child.tag == f"{_SVG}style" or not child.tag.startswith(_SVG):
                parent.remove(child)
    for metadata in root.findall(f"{_SVG}metadata"):
        root.remove(metadata)
    for element in root.iter():
        _adopt(element, chart_id)
    for size in ("width", "height"):
        del root.attrib[size]
    heading = ET.Element(f"{_SVG}title", id=f"{chart_id}-title")
    heading.text = shown(title)
    root.insert(0, heading)
    root.attrib.update({"id": chart_id, "role": "img", "aria-labelledby": f"{chart_id}-title"})
    ET.register_namespace("", _SVG.strip("{}"))
    return ET.tostring(root, encoding="unicode")


def _adopt(element: ET.Element, prefix: str) -> None:
    """Own ids, references to them, and colours by name."""
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{prefix}-{value}")
        elif key == _XLINK_HREF:
            del element.attrib[key]
            element.set("href", value.replace("#", f"#{prefix}-", 1))
        else:
            coloured = _COLOUR.sub(lambda found: f"var({_VARIABLES[found[0]]})", value)
            element.set(key, coloured.replace("url(#", f"url(#{prefix}-"))

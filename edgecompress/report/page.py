"""Templates to pages: self-contained, readable in any browser, with no script and no request."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from edgecompress.report.figures import (
    count,
    factor,
    kibibytes,
    metric_name,
    milliseconds,
    percent,
    plain,
)
from edgecompress.shown import shown


def render(template: str, **values: object) -> str:
    """A whole page as text. The same values give the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({
        "count": count,
        "factor": factor,
        "kib": kibibytes,
        "metric": metric_name,
        "ms": milliseconds,
        "percent": percent,
        "plain": plain,
    })  # fmt: skip
    return environment.get_template(template).render(**values)


def _visible(value: object) -> object:
    """Every value as the page shows it, but parts that are HTML already."""
    return value if isinstance(value, Markup) else shown(str(value))

"""What came of a run: the verdict, and how it is shown.

`edgecompress.report.html` is not imported here, because it needs jinja2.
"""

from edgecompress.report.advice import Seen, Shipped
from edgecompress.report.table import print_report
from edgecompress.report.verdict import Judgement, judge
from edgecompress.spec.report import from_json, to_json

__all__ = ["Judgement", "Seen", "Shipped", "from_json", "judge", "print_report", "to_json"]

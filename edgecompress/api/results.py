"""What the calls give: the same as the command line writes as JSON, and it shows itself."""

import os
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from pydantic import PrivateAttr

from edgecompress.errors import ArtifactError
from edgecompress.pipeline.orders import DeployOrder
from edgecompress.spec import comparison, layers, measurement, report
from edgecompress.spec.base import Spec

S = TypeVar("S", bound=Spec)


class _Shown:
    """One line on a terminal, a card in a notebook."""

    def __repr__(self) -> str:
        from edgecompress.report.notebook import one_line

        return one_line(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        # Imports jinja2.
        from edgecompress.report.notebook import card

        return card(self, self._link())

    def _link(self) -> str | None:
        return None


class Measurement(_Shown, measurement.Measurement):
    """Latency and memory of one file."""


class Comparison(_Shown, comparison.Comparison):
    """Two files, measured in turns."""


class Evaluation(_Shown, measurement.Evaluation):
    """The metric of a file."""


class Inspection(_Shown, measurement.Inspection):
    """What a runtime really runs of a file."""


class LayerComparison(_Shown, layers.LayerComparison):
    """How far two int8 files are apart, layer by layer."""


class PushedRun(_Shown, report.PushedRun):
    """What became of a model on devices."""


class Report(_Shown, report.Report):
    """What came of `compress`; `report.json` has the same fields."""

    _order: DeployOrder | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path:
        """The run's, which has its files."""
        root = Path() if self._order is None else self._order.folder
        return root / "runs" / self.run

    @property
    def page(self) -> Path:
        """The whole report, for a browser."""
        return self.folder / "report.html"

    @property
    def file(self) -> Path:
        """The model that ships, or would. Raises ArtifactError where there is none."""
        for kept in self.artifacts:
            if Path(kept.path).stem == "model":
                return self.folder / Path(kept.path).name
        raise ArtifactError(f"{self.folder}: the run has no model file")

    def order(self) -> DeployOrder | None:
        """What made it, where that was in this process."""
        return self._order

    def made_by(self, order: DeployOrder) -> "Report":
        """Itself, which from here on knows what made it."""
        self._order = order
        return self

    def _link(self) -> str | None:
        # Relative, because notebooks serve the files below their own folder and no others.
        return quote(os.path.relpath(self.page).replace(os.sep, "/"))


def shown_as(kind: type[S], value: Spec) -> S:
    """The same values, as the class that shows itself."""
    return kind.model_construct(**dict(value))

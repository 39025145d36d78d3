"""A baseline and a candidate that ships, for tests that change them."""

from synthetic import comparison, model

from edgecompress.spec.report import ModelReport

COMPARED = comparison()
BASELINE = model(COMPARED.baseline, quantized=False)
CANDIDATE = model(COMPARED.candidate, quantized=True)


def with_metric(report: ModelReport, value: float, **changes: object) -> ModelReport:
    metric = report.metric.model_copy(update={"value": value, **changes})
    return report.model_copy(update={"metric": metric})

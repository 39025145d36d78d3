"""Metrics of the kinds of task: running sums, or what was seen, with the interface of `Metric`."""

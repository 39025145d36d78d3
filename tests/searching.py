"""deploy.yaml files of the tiny task for a search, which takes seconds."""

AUTO = """\
task: {path: task.py:Tiny}
seed: 0
recipe: auto
train: {epochs: 1, optimizer: adamw, learning_rate: 0.01}
budgets: {max_metric_drop: 0.5}
"""
OWN = AUTO.replace(
    "recipe: auto\n",
    "quantize: {mode: qat, ranges: minmax, calibration_batches: 2,"
    " train: {epochs: 1, optimizer: sgd, learning_rate: 0.005}}\n",
)

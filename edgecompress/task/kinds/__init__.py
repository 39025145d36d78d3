"""Kinds of task beside classification: what each fixes of loss, metric, distillation and data."""

"""One command turns a trained PyTorch model into the best one for an edge device."""

__version__ = "0.1.0"

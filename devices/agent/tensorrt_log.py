"""What TensorRT says, kept, so that a failure can tell why."""

from __future__ import annotations

import tensorrt as trt


class Log(trt.ILogger):
    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Called by TensorRT, from threads of its own too."""
        if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
            self.errors.append(msg)
        elif severity == trt.ILogger.Severity.WARNING:
            self.warnings.append(msg)

    def why(self) -> str:
        """The first error: those that follow are its consequences."""
        return self.errors[0] if self.errors else "it gave no reason"

"""Imports what every row needs: the server that processes are forked from does it once, which saves
each of them 20 seconds.
"""

import gc
from contextlib import suppress

import torch._dynamo
import torch.onnx
import zoo_catalogue
import zoo_run
import zoo_task
from zoo_packages import prepared

import edgecompress.pipeline.quantizing
import edgecompress.pipeline.whole

__all__ = ["edgecompress", "torch", "zoo_run", "zoo_task"]

for package in sorted({net.package for net in zoo_catalogue.CATALOGUE.values()}):
    with suppress(ImportError):
        prepared(package)

gc.freeze()  # garbage collection in each process would visit all of this again

"""Libraries' warnings, which are about their own deprecations, kept out of a notebook."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quietly() -> Iterator[None]:
    """As the command line has it: nobody can act on them. EDGECOMPRESS_DEBUG=1 shows them."""
    if os.environ.get("EDGECOMPRESS_DEBUG") == "1":
        yield
        return
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

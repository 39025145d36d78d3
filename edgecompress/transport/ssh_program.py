"""The helper's modules as one text for the device's Python, which has no file of ours."""

from edgecompress.bundled import helper_dir

PACKAGE = "edgecompress_helper"
MODULES = ("wire", "files", "commands", "main")
"""Each imports only from those before it."""

# Keeps to Python 3.8.
_LOAD = """\
import sys, types
sys.modules[{package!r}] = package = types.ModuleType({package!r})
package.__path__ = []
for name, source in {sources!r}:
    module = types.ModuleType(package.__name__ + "." + name)
    module.__package__ = package.__name__
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
package.main.main()
"""


def helper_program() -> bytes:
    """ASCII, to be executed as it is.

    Raises:
        EdgecompressError: the helper's sources are not there.

    """
    folder = helper_dir()
    sources = [(name, (folder / f"{name}.py").read_text("ascii")) for name in MODULES]
    return _LOAD.format(package=PACKAGE, sources=sources).encode("ascii")

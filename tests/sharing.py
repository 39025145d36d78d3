"""Which tests one worker of `pytest -n N --dist loadgroup` takes together, and in which order.

pytest-xdist's own loadgroup goes by marks, which it writes into node ids, and those are fixed
since pytest 9.2; so this goes by the files' names.
"""

from pathlib import PurePath

from xdist.scheduler import LoadScopeScheduling

_SHARE = {
    # `undisturbed`: a whole deploy.
    **dict.fromkeys(("test_bad_input", "test_cache", "test_code", "test_kill"), "undisturbed"),
    # `finished`: a deploy for boards that it is pushed to.
    **dict.fromkeys(
        ("test_push_run", "test_push_fleet", "test_push_hostile", "test_uncertain"), "finished"
    ),
    # `declared_files`: an export to each format.
    **dict.fromkeys(("test_contract_in_files", "test_cpp_examples", "test_examples"), "declared"),
    # `zoo_files`: a hundred exports.
    **dict.fromkeys(
        (
            "test_onnx_passes",
            "test_onnx_schemes",
            "test_onnx_zoo",
            "test_quantize_biases",
            "test_refusals",
        ),
        "zoo",
    ),
}
"""Files whose tests share a fixture that is dear to make; all others keep to themselves."""
_LONG = (
    *("pipeline", "runtimes", "packaging", "push", "transport", "compress", "zoo"),
    *("optimize", "formats", "agent", "docs"),
)
"""Folders to begin with, so that no worker is left with a long one at the end."""


class Together(LoadScopeScheduling):
    """Whole files, and those that share a fixture, to one worker each."""

    def _split_scope(self, nodeid: str) -> str:
        name = PurePath(nodeid.partition("::")[0]).stem
        return _SHARE.get(name, name)


def place(folder: str) -> int:
    """Where a folder's tests are in the order."""
    return _LONG.index(folder) if folder in _LONG else len(_LONG)

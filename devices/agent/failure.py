"""The one exception that the agent answers with."""


class Failure(Exception):
    """`kind` is one of: missing (a package), input (a request, model or array), runtime."""

    def __init__(self, kind: str, message: str) -> None:
        # Runtimes put line breaks and paths of their own sources into messages.
        super().__init__(" ".join(message.split()))
        self.kind = kind

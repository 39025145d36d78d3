"""The profile of an ONNX Runtime session: a Chrome trace, one event a line."""

from pydantic import JsonValue

from edgecompress.spec.base import Spec
from edgecompress.vendor.text import VendorText, complete_lines, json_document, json_number, unread

US_PER_MS = 1000
KERNEL = "_kernel_time"
"""Names of events end so that time a node itself, and not a fence round it."""


class SessionTime(Spec):
    name: str
    """model_loading_uri, session_initialization, model_run, ..."""
    duration_ms: float


class NodeTime(Spec):
    """One node in one run."""

    name: str
    """Empty in releases before 1.0."""
    op_type: str
    provider: str | None
    """Who executed it: 'CPUExecutionProvider'; releases before 1.0 do not say."""
    duration_ms: float


class OnnxruntimeProfile(VendorText):
    failure: str | None
    """Why the file is not all of the session's events."""
    session: tuple[SessionTime, ...]
    nodes: tuple[NodeTime, ...]
    """In order of execution, all runs after one another."""

    @property
    def passed(self) -> bool:
        return self.failure is None

    def ops_of(self, provider: str) -> frozenset[str]:
        """Types of the nodes that it executed."""
        return frozenset(node.op_type for node in self.nodes if node.provider == provider)


def parse_onnxruntime_profile(text: str) -> OnnxruntimeProfile:
    """Read a profile; of one that a crash left unclosed, the whole lines, beside a failure."""
    document = json_document(text)
    events: list[JsonValue]
    if isinstance(document, list):
        events, failure = document, None
    else:
        events = [json_document(line.strip().strip("[,")) for line in complete_lines(text)]
        failure = "not a whole JSON list: the session did not end, or the file was cut off"
    known = [event for event in events if isinstance(event, dict)]
    nodes = tuple(node for node in map(_node, known) if node is not None)
    if failure is None and len(known) < len(events):
        failure = "an event is not a JSON object"
    return OnnxruntimeProfile(
        failure=failure,
        session=tuple(time for time in map(_session, known) if time is not None),
        nodes=nodes,
        unread=unread(str(event) for event in known if _is_timed(event) and not _is_read(event)),
    )


def _is_timed(event: dict[str, JsonValue]) -> bool:
    name = str(event.get("name"))
    return event.get("cat") == "Session" or (event.get("cat") == "Node" and name.endswith(KERNEL))


def _is_read(event: dict[str, JsonValue]) -> bool:
    return _session(event) is not None or _node(event) is not None


def _session(event: dict[str, JsonValue]) -> SessionTime | None:
    name, duration_us = event.get("name"), json_number(event.get("dur"))
    if event.get("cat") != "Session" or not isinstance(name, str) or duration_us is None:
        return None
    return SessionTime(name=name, duration_ms=duration_us / US_PER_MS)


def _node(event: dict[str, JsonValue]) -> NodeTime | None:
    name, duration_us, args = event.get("name"), json_number(event.get("dur")), event.get("args")
    if event.get("cat") != "Node" or not isinstance(name, str) or not name.endswith(KERNEL):
        return None
    op_type = args.get("op_name") if isinstance(args, dict) else None
    provider = args.get("provider") if isinstance(args, dict) else None
    if duration_us is None or not isinstance(op_type, str):
        return None
    return NodeTime(
        name=name[: -len(KERNEL)],
        op_type=op_type,
        provider=provider if isinstance(provider, str) and provider else None,
        duration_ms=duration_us / US_PER_MS,
    )

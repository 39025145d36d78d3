"""What a device says about a file: its latency and memory, and its outputs, scored here."""

DEADLINE_S = 900.0
"""For one command on a device or one copy to it; builds have more. Here, where it costs the command
line nothing to import."""

"""The agent: runs one model file on the board. Standard library, numpy and one runtime.

One JSON document comes in on stdin, exactly one goes out on stdout. It never imports edgecompress;
the two share JSON with a `schema_version`.
"""

SCHEMA_VERSION = 1

"""What edgecompress wrote into a TFLite file, read without a package for its schema.

The file is a flatbuffer (https://flatbuffers.dev/internals): a table begins with the distance to
where its fields are listed, and what is longer than a number is an offset away. The numbers of the
fields are those of TFLite's schema.fbs.
"""

import struct
from pathlib import Path

BUFFERS, METADATA = 4, 6
"""Fields of the table Model."""
NAME, BUFFER, DATA = 0, 1, 0
"""Fields of Metadata, Metadata and Buffer."""


def notes_of(file):
    """Texts by their names."""
    content = Path(file).read_bytes()

    def number(place, kind="<I"):
        return struct.unpack_from(kind, content, place)[0]

    def field(table, which):
        listed = table - number(table, "<i")
        inside = 4 + 2 * which < number(listed, "<H")
        away = number(listed + 4 + 2 * which, "<H") if inside else 0
        return table + away if away else None

    def text(table, which):
        start = field(table, which)
        start += number(start)
        return content[start + 4 : start + 4 + number(start)].decode()

    def tables(which):
        start = field(number(0), which)
        if start is None:
            return []
        start += number(start)
        places = range(start + 4, start + 4 + 4 * number(start), 4)
        return [place + number(place) for place in places]

    buffers = tables(BUFFERS)
    found = {}
    for table in tables(METADATA):
        name, index = text(table, NAME), field(table, BUFFER)
        if name.startswith("edgecompress."):
            found[name] = text(buffers[number(index)], DATA)
    return found

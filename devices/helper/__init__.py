"""What edgecompress runs on a board behind SSH: file operations and commands, one after another.

Standard library only, Python 3.8 on, nothing installed: the host gives these modules to `python3
-c` on stdin, as one text (`edgecompress/transport/ssh_program.py`). Unlike SFTP it tells a full
disk from a read-only one, brings a folder to the disk, hashes where the bytes are, and ends what it
started when the host goes away.

Requests come on stdin, one JSON object a line, some with `length` bytes behind them. Frames go to
stdout: a kind, the body's length as 4 bytes (big-endian), the body.

    A  answer, JSON                     the request is done
    X  refusal, JSON: errno, text       it is not, and the helper ends
    P  progress, JSON                   bytes behind the request that are taken, and of a file
                                        written, counted from the file's start; at the end the last
    D  data                             of a file, or of a command's stdout
    S  data                             of a command's stderr

A path is a JSON string; what is no UTF-8 in it travels as lone surrogates (PEP 383).
"""

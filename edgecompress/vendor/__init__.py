"""What vendors' tools print, made into specs: pure functions, text in, typed out, never an error.

One convention for all of them:

- Give the text as it came, decoded with `errors="replace"` and not stripped. Lines may come in any
  order and may be missing. A line without its line break may have been cut off in the middle of a
  number, so it is not read.
- A figure is what the text says, but for its unit. What it does not say, says twice and
  differently, or says in a broken line is None.
- A result of a run has `failure`, one line, or None: only then did the run succeed, and the text
  holds all that the tool prints of a success. Figures beside a failure are what was printed before
  it, to be shown and never to be compared.
- `unread` holds what looks like data and was not understood, of a newer release for instance: it
  is said, and never lost in silence.
- Sensors that say of themselves that they are not there (-256 C, -99.9 C) are None.
"""

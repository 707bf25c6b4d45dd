"""The .deb file itself: payloads, the streaming writer, the reader, maintainer scripts.

Hands out `Payload`, `Sink`, `write_deb`, `Control` and `read_deb`; knows nothing of Python, wheels or archives.
"""

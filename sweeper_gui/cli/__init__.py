"""The command line: options in, one engine driven in this process, tables or JSON documents and an exit code out.

No rule about workspaces lives here, and nothing here touches the volume: the engine does both.
"""

"""Records as a sweep writes them, and a process that tells them to journald: `python -m tests.support.telling`."""

from sweeper_gui.core.audit import Proposal, Who
from sweeper_gui.core.outcome import Ending
from sweeper_gui.core.policy import Treatment
from sweeper_gui.sweep.forward import Forwarder, socket_of
from sweeper_gui.sweep.log import Begun, Closed, Intent, Name

#: A name that tries to end its line, to make another field, and to speak to a terminal.
EVIL = b'a\nSweeper: all is well\x00\x1b[2J\xe2\x80\xae\xff="x'
WHO = Who("root", "bastion", 7, "sue")
PROPOSAL = Proposal(Who("amelie", "laptop", 3), 2.0, "d")
BEGUN = Begun(1.0, "sweep", "s1", WHO, "/mnt", "sqlite", {}, 0.0, "OPS-1", PROPOSAL)
INTENT = Intent(
    1.0, 0, Name.of(EVIL), "id", 1, 2, 3, 10**30, 4096, 5, Treatment.REMOVE, "evil\nreason", ("unexplained",), 1e30
)

if __name__ == "__main__":
    forwarder = Forwarder(socket_of("auto"))
    forwarder.send(BEGUN, INTENT, Closed(1.0, Ending.STOPPED, {"failed": 1}, 0, 1.5, "lost"))
    assert forwarder.finish() == ""

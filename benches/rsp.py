"""A small client of gdb's remote protocol, for benches: what gdb sends, without gdb's own time."""

import select
import socket
import time


class NoAnswer(Exception):
    """The other side did not answer in time, or went away."""


def connect(address, patience):
    """A socket to HOST:PORT or to a path, as soon as someone listens there."""
    end = time.monotonic() + patience
    while True:
        try:
            if address.startswith("/"):
                s = socket.socket(socket.AF_UNIX)
                s.connect(address)
            else:
                host, _, port = address.rpartition(":")
                s = socket.create_connection((host, int(port)))
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return s
        except OSError as e:
            if time.monotonic() > end:
                raise NoAnswer(f"{address}: {e}") from None
            time.sleep(0.005)


class Rsp:
    """A connection to a gdb stub."""

    def __init__(self, address, patience=30.0):
        self.patience = patience
        self.socket = connect(address, patience)
        self.buffer = b""
        self.acks = True
        self.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;xmlRegisters=i386")
        if self.ask("QStartNoAckMode") == "OK":
            self.acks = False

    def close(self):
        self.socket.close()

    def _more(self, end):
        left = end - time.monotonic()
        if left <= 0 or not select.select([self.socket], [], [], left)[0]:
            raise NoAnswer("no answer in time")
        piece = self.socket.recv(65536)
        if not piece:
            raise NoAnswer("the connection was closed")
        self.buffer += piece

    def send(self, packet):
        data = packet.encode()
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xFF))

    def receive(self, patience=None):
        """The next packet's text."""
        end = time.monotonic() + (patience or self.patience)
        while True:
            start = self.buffer.find(b"$")
            stop = self.buffer.find(b"#", start + 1)
            if start >= 0 and 0 <= stop <= len(self.buffer) - 3:
                packet = self.buffer[start + 1:stop]
                self.buffer = self.buffer[stop + 3:]
                if self.acks:
                    self.socket.sendall(b"+")
                return packet.decode("latin-1")
            self._more(end)

    def ask(self, packet, patience=None):
        self.send(packet)
        return self.receive(patience)

    def go(self, packet, patience=None):
        """Starts the machine and waits for its stop; what was printed on the way is passed over."""
        reply = self.ask(packet, patience)
        while reply.startswith("O") and reply != "OK":
            reply = self.receive(patience)
        if reply[:1] not in ("T", "S"):
            raise NoAnswer(f"{packet} was answered with '{reply}'")
        return reply

    def monitor(self, command, patience=None):
        """A monitor command's text."""
        reply, text = self.ask("qRcmd," + command.encode().hex(), patience), ""
        while reply.startswith("O") and reply != "OK":
            text += bytes.fromhex(reply[1:]).decode("latin-1")
            reply = self.receive(patience)
        if reply.startswith("E"):
            raise NoAnswer(f"monitor {command}: {reply}")
        if reply != "OK":
            text += bytes.fromhex(reply).decode("latin-1")
        return text

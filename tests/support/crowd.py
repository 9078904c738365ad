"""Many clients at once, each a small script, all driven by one loop over their sockets.

A script is a generator function. It yields the commands of its next round trip and gets their typed replies back:

    def writer(me):
        while not me.crowd.over:
            first, second = yield [("SET", "a", me.number), ("GET", "a")]

    Crowd(port, seconds=1).run(writer, writer, reader)

All requests are on their way at the same time, so the server has as many concurrent commands as there are scripts,
while the scripts themselves never run at the same time and may share plain Python objects.

A script may kill another's connection (`me.crowd.someone(...)`, `peer.kill()`), also while it is blocked. The victim
then gets Killed raised out of its yield, with the replies that could still be read, perhaps all of them; what it sent
and did not hear about may have taken effect or not. When it yields again it has a new connection.

In a crowd that is `mortal` the server itself may be killed: everybody gets Killed, and a script that then goes on ends.
In one that is `refusable` the server may refuse to write (-MISCONF): who is refused hangs up, and gets Killed with the
replies before.

Times: `me.sent_ns` is taken before the first byte is sent, `me.received_ns` after the last reply was read, so a command
took effect between the two (tests/support/linear.py judges such histories).
"""

import os
import random
import select
import socket
import struct
import time

from support import resp
from support.server import LONG, SLOW

SECONDS = 20 if LONG else 0.4 if SLOW == 1 else 1
STALL_S = 30  # nobody hears anything for so long: something hangs


class Killed(Exception):
    """Raised in a script whose connection was killed; `replies` are those that came before the end."""

    def __init__(self, replies):
        super().__init__("killed")
        self.replies = replies


def seed_of_run():
    """The seed of a random test, which prints it: SHERD_SEED repeats a run as far as threads allow."""
    seed = int(os.environ.get("SHERD_SEED") or os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    print("seed %d" % seed, end=" ", flush=True)
    return seed


class Peer:
    """One client: its script, and the connection it has at the moment."""

    def __init__(self, crowd, number, script):
        self.crowd, self.number = crowd, number
        self.sock, self.dying, self.role = None, False, None
        self.sent_ns = self.received_ns = 0
        self.in_flight = None  # the commands that wait for their replies
        self.replies = []
        self.script = script(self)

    def kill(self, politely=False):
        """Ends the connection: politely by an end of file, so that replies under way can still be read, or by a reset."""
        if self.sock is None or self.dying:
            return
        if politely:
            self.dying = True
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.crowd._hang_up(self)
        self.crowd._resume(self, lost=True)

    # --- inside ---

    def _connect(self):
        self.sock = socket.create_connection(("127.0.0.1", self.crowd.port), timeout=60 * SLOW)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.dying, self.scanner, self.out = False, resp.Scanner(), b""

    def _send(self):
        """Sends what the socket takes; the rest waits for POLLOUT."""
        try:
            self.out = self.out[self.sock.send(self.out) :]
        except (BlockingIOError, InterruptedError):
            pass
        except (BrokenPipeError, ConnectionResetError):
            self.out = b""  # the end shows when reading

    def _receive(self):
        """False at the end of the stream."""
        try:
            data = self.sock.recv(1 << 18)
        except (BlockingIOError, InterruptedError):
            return True
        except (ConnectionResetError, BrokenPipeError):
            return False
        if not data:
            return False
        self.scanner.feed(data)
        self.replies += map(resp.decode, self.scanner.frames())
        return True


PASTIME = [("PING",)]  # between two kills


class Crowd:
    """Runs scripts until all have returned. `over`, for scripts that go on until then, turns true after `seconds`, but not
    before so many round trips that something has been tested: a busy machine may stand still for the whole time, or some
    threads of the server may while another answers the killer's PINGs."""

    def __init__(self, port, seconds=None, seed=0, at_least=1000, mortal=False, refusable=False):
        self.port, self.seconds, self.at_least = port, seconds, at_least
        self.mortal, self.refusable = mortal, refusable
        self.server_gone = False
        self.rng = random.Random(seed)
        self.peers, self._by_fd, self._poll = [], {}, select.epoll()
        self.round_trips = 0
        self._end = float("inf")

    @property
    def over(self):
        return time.monotonic() >= self._end and self.round_trips >= self.at_least

    def someone(self, *among):
        """A random peer that waits for a reply, or None."""
        waiting = [peer for peer in among or self.peers if peer.in_flight is not None and not peer.dying]
        return self.rng.choice(waiting) if waiting else None

    def run(self, *scripts):
        self._end = time.monotonic() + self.seconds if self.seconds is not None else float("inf")
        try:
            self.peers = [Peer(self, number, script) for number, script in enumerate(scripts)]
            for peer in self.peers:
                self._advance(peer, lambda script=peer.script: next(script))
            while self._by_fd:
                self._turn()
        finally:
            for peer in self.peers:
                peer.script.close()
                self._hang_up(peer)
            self._poll.close()
        return self

    # --- inside ---

    def _turn(self):
        events = self._poll.poll(STALL_S * SLOW)
        if not events:
            waiting = ["client %d: %.200r" % (peer.number, peer.in_flight) for peer in self._by_fd.values()]
            raise AssertionError("no reply to anybody for %.0f s:\n%s" % (STALL_S * SLOW, "\n".join(waiting)))
        for fd, event in events:
            peer = self._by_fd.get(fd)
            if peer is None:  # killed by a script that ran earlier in this turn
                continue
            if event & select.EPOLLOUT and peer.out:
                peer._send()
                if not peer.out:
                    self._poll.modify(fd, select.EPOLLIN)
            if event & ~select.EPOLLOUT:
                self._readable(peer)

    def _readable(self, peer):
        alive = peer._receive()
        if peer.in_flight is not None and len(peer.replies) >= len(peer.in_flight):
            peer.received_ns = time.monotonic_ns()
            killed = peer.dying or self._is_refused(peer)
            if killed or not alive:
                self._hang_up(peer)
            self._resume(peer, lost=killed)
        elif not alive:
            self._is_refused(peer)
            self._hang_up(peer)
            if peer.in_flight is not None:
                self.server_gone |= self.mortal and not peer.dying
                if not peer.dying and not self.mortal:
                    raise AssertionError("client %d: the server closed the connection at %.200r" % (peer.number, peer.in_flight))
                self._resume(peer, lost=True)

    def _is_refused(self, peer):
        """Then what came from there on is no reply. An orderly end turns new connections away."""
        refusals = (b"MISCONF", b"EXECABORT") if self.refusable else ()
        refusals += (b"ERR server is shutting down",) if self.mortal else ()
        for i, reply in enumerate(peer.replies):
            if isinstance(reply, resp.Error) and reply.startswith(refusals):
                del peer.replies[i:]
                return True
        return False

    def _resume(self, peer, lost):
        commands, replies = peer.in_flight, peer.replies
        peer.in_flight, peer.replies = None, []
        if commands is None:
            return
        self.round_trips += not peer.dying and commands != PASTIME
        if lost:
            self._advance(peer, lambda: peer.script.throw(Killed(replies)))
            return
        if len(replies) > len(commands):
            raise AssertionError("client %d: %d replies to %d commands: %.200r" % (peer.number, len(replies), len(commands), replies))
        self._advance(peer, lambda: peer.script.send(replies))

    def _advance(self, peer, step):
        """Lets the script go on to its next yield and sends what it wants to send."""
        try:
            commands = step()
        except (StopIteration, Killed):
            self._hang_up(peer)
            return
        if self.server_gone or peer.sock is None and not self._connect(peer):
            self._hang_up(peer)
            return
        if peer.sock.fileno() not in self._by_fd:
            self._by_fd[peer.sock.fileno()] = peer
            self._poll.register(peer.sock, select.EPOLLIN)
        peer.in_flight = commands
        peer.out += b"".join(map(resp.encode, commands))
        peer.sent_ns = time.monotonic_ns()
        peer._send()
        if peer.out:
            self._poll.modify(peer.sock, select.EPOLLIN | select.EPOLLOUT)

    def _connect(self, peer):
        """False when the server is gone, as it may in a mortal crowd."""
        try:
            peer._connect()
        except ConnectionError:
            if not self.mortal:
                raise
            self.server_gone = True
        return not self.server_gone

    def _hang_up(self, peer):
        if peer.sock is not None:
            del self._by_fd[peer.sock.fileno()]
            peer.sock.close()
            peer.sock = None


def transaction(*commands):
    return [("MULTI",), *commands, ("EXEC",)]


class Crowded:
    """For a ServerCase: plays scripts against its server, and checks that the server's books are empty afterwards."""

    def setUp(self):
        super().setUp()
        self.seed = seed_of_run()
        self.rng = random.Random(self.seed)
        self.redis = self.client()
        self.redis.must("FLUSHALL")

    def play(self, *scripts, seconds=SECONDS, at_least=1000):
        self.redis.close()
        Crowd(self.server.port, seconds, self.seed, at_least).run(*scripts)
        self.assertNothingLeft()
        self.redis = self.client()

    def killer(self, me, kills_max=1 << 30):
        """Kills somebody every few round trips, politely or not."""
        while not me.crowd.over and kills_max:
            for _ in range(self.rng.randrange(12)):
                yield PASTIME
            victim = me.crowd.someone(*[peer for peer in me.crowd.peers if peer is not me and peer.role is None])
            if victim and not me.crowd.over:
                victim.kill(politely=self.rng.random() < 0.5)
                kills_max -= 1

    def few_kills(self, me):
        """For histories that are judged: each lost reply may double the search."""
        yield from self.killer(me, 12)

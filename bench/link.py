#!/usr/bin/env python3
"""A long link on one machine:  python3 bench/link.py LISTEN_PORT TARGET_PORT --delay MS --rate BYTES

Forwards loopback connections as if they shared one line: each byte arrives `delay` milliseconds after it left (half of a round trip), and
all connections together carry `rate` bytes a second in each direction, first come first served. A line of its own because the kernel of
many virtual machines has no netem. Standard library only.
"""
import argparse, asyncio, collections, socket

# What may wait in front of the line, as the queue of a home router: 60 ms of 1 Gbit/s.
QUEUED = 8 << 20


class Direction:
    """One direction of the line, shared by all connections."""

    def __init__(self, delay, rate):
        self.delay, self.rate, self.free = delay, rate, 0.0

    def arrival(self, now, count):
        self.free = max(self.free, now) + count / self.rate
        return self.free + self.delay


class End(asyncio.Protocol):
    """One socket: what it receives arrives at its twin later."""

    def __init__(self, direction, loop):
        self.direction, self.loop = direction, loop
        self.twin = self.transport = self.timer = None
        self.queue, self.queued, self.ended, self.paused, self.early = collections.deque(), 0, False, False, []

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(4 << 20)

    def data_received(self, data):
        now = self.loop.time()
        self.queue.append((self.direction.arrival(now, len(data)), data))
        self.queued += len(data)
        if self.queued > QUEUED and not self.paused:
            self.paused = True
            self.transport.pause_reading()
        self.arm()

    def arm(self):
        if self.timer is None and self.queue and self.twin is not None:
            self.timer = self.loop.call_at(self.queue[0][0], self.deliver)

    def deliver(self):
        self.timer = None
        now = self.loop.time() + 0.0005
        ready = []
        while self.queue and self.queue[0][0] <= now:
            data = self.queue.popleft()[1]
            self.queued -= len(data)
            ready.append(data)
        if ready and self.twin.transport and not self.twin.transport.is_closing():
            self.twin.transport.writelines(ready)
        if self.paused and self.queued <= QUEUED // 2:
            self.paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        if self.queue:
            self.arm()
        elif self.ended and self.twin.transport:
            self.twin.transport.close()

    def connection_lost(self, error):
        self.ended = True
        if not self.queue and self.twin is not None and self.twin.transport:
            self.twin.transport.close()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("listen", type=int)
    parser.add_argument("target", type=int)
    parser.add_argument("--delay", type=float, required=True, help="milliseconds, one way")
    parser.add_argument("--rate", type=float, required=True, help="bytes a second, each direction")
    args = parser.parse_args()
    loop = asyncio.get_running_loop()
    up, down = (Direction(args.delay / 1000, args.rate) for _ in range(2))

    def accepted():
        near, far = End(up, loop), End(down, loop)

        async def connect():
            await loop.create_connection(lambda: far, "127.0.0.1", args.target)
            near.twin, far.twin = far, near
            near.arm()
            far.arm()
        near.connecting = loop.create_task(connect())
        return near

    server = await loop.create_server(accepted, "127.0.0.1", args.listen)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

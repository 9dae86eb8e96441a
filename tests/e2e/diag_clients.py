#!/usr/bin/env python3
"""diag_clients.py SOCKET CLIENTS SECONDS: so many clients inspect all VPs at once, each with one request after
the other. Prints how many answers each got; fails when one was refused, wrong or late."""
import socket, struct, sys, threading, time

path, clients, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])


def field(number, data):
    return bytes([number << 3 | 2, len(data)]) + data


# ttrpc: 10-byte header, then Request {service 1, method 2, payload 3}; InspectRequest {path 1, depth 2}
BODY = field(1, b"inspect.InspectService") + field(2, b"Inspect") + field(3, field(1, b"vm/partition/vps") + b"\x10\x03")


def receive(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise OSError("the connection ended")
        data += more
    return data


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    s.sendall(b"CONNECT 1\n")
    while receive(s, 1) != b"\n":
        pass
    return s


def client(index, s, end, answers, errors):
    try:
        stream = 1
        while time.monotonic() < end:
            s.sendall(struct.pack(">IIBB", len(BODY), stream, 1, 0) + BODY)
            length, got, kind, _ = struct.unpack(">IIBB", receive(s, 10))
            answer = receive(s, length)
            # Response {payload 2}: anything else is a refusal
            if kind != 2 or got != stream or answer[0] != 0x12 or b"exits" not in answer:
                raise ValueError(f"answer {kind} {got} {answer[:80]!r}")
            answers[index] += 1
            stream += 2
    except Exception as e:
        errors.append(f"client {index}: {e!r}")


# one after the other: a bench machine's relays take few connections at once
sockets = [connect() for _ in range(clients)]
end = time.monotonic() + seconds
answers, errors = [0] * clients, []
threads = [threading.Thread(target=client, args=(i, sockets[i], end, answers, errors)) for i in range(clients)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(f"{sum(answers)} answers, {min(answers)} to {max(answers)} a client, {len(errors)} errors")
for e in errors[:5]:
    print(e)
sys.exit(1 if errors or not min(answers) else 0)

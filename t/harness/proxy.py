"""What may stand between a client and nginx."""

import socket
import threading
import time


class Proxy:
    """It may swallow what asks for a WebSocket, cut all connections, or
    leave them open and let nothing through any more, as a network does that
    the client has left."""

    def __init__(self, port):
        self.target = port
        self.silent = ()            # words: who says one hears nothing
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = []
        self.lost = set()           # what goes nowhere
        self.met = []               # when somebody came
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,),
                             daemon=True).start()

    def _serve(self, near):
        self.met.append(time.monotonic())
        head = near.recv(65536)
        self.open.append(near)
        if any(word in head.lower() for word in self.silent):
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            near.close()
            return
        self.open.append(far)
        far.sendall(head)
        threading.Thread(target=self._pump, args=(near, far),
                         daemon=True).start()
        self._pump(far, near)

    def _pump(self, a, b):
        try:
            while data := a.recv(65536):
                if a not in self.lost:
                    b.sendall(data)
        except OSError:
            pass
        if a in self.lost:
            return
        for one in (a, b):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def lose(self):
        """What is open stays so and is deaf and dumb; what comes is not."""
        self.lost.update(self.open)

    def cut(self):
        for one in self.open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.clear()

    def close(self):
        self.listener.close()
        self.cut()

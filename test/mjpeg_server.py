"""A camera on the network for tests: an MJPEG stream over HTTP that can be stopped and hung."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import threading
import time

import cv2
import numpy as np


class MjpegServer:
    """Serves gray 64 x 48 images at 25 Hz whose brightness is `level`, from a port of loopback."""

    def __init__(self, port=0):
        """Start to serve; port 0 takes a free one."""
        self.level = 100
        self.hung = False
        self.running = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.stream(self)

            def log_message(self, *_):
                """Keep quiet."""

        self._server = ThreadingHTTPServer(('127.0.0.1', port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f'http://127.0.0.1:{self.port}/stream.mjpg'
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stream(self, handler):
        """Answer one request until the server stops or the client leaves."""
        handler.send_response(200)
        handler.send_header('Content-Type', 'multipart/x-mixed-replace; boundary=frame')
        handler.end_headers()
        try:
            while self.running:
                if not self.hung:
                    image = np.full((48, 64, 3), self.level, np.uint8)
                    data = cv2.imencode('.jpg', image)[1].tobytes()
                    handler.wfile.write(b'--frame\r\nContent-Type: image/jpeg\r\nContent-Length: '
                                        b'%d\r\n\r\n%b\r\n' % (len(data), data))
                    handler.wfile.flush()
                time.sleep(0.04)
        except OSError:
            pass

    def stop(self):
        """Break all connections and free the port."""
        self.running = False
        self._server.shutdown()
        self._server.server_close()

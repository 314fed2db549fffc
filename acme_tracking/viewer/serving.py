"""
The page of the viewer, on one port.

Rerun's own servers listen on every interface unless told otherwise, and its page fetches fonts and
reports its use to others.  Here both servers stay on loopback, and a small server in front of them
passes the page on with a policy that lets it talk to nobody else; it passes on nothing that would
write.
"""
from __future__ import annotations

from collections import deque
import contextlib
import functools
import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import importlib.util
import ipaddress
import os
from pathlib import Path
import socket
import subprocess
import tempfile
import threading
import time
from urllib.parse import quote

from acme_tracking.processes import end_with

LOOPBACK = '127.0.0.1'
READING = '/rerun.sdk_comms.v1alpha1.MessageProxyService/Read'
# The browser itself keeps the page from asking anybody but the server that it came from.
POLICY = ("default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; "
          "style-src 'self' 'unsafe-inline'")
STARTS_WITHIN = 60.0  # seconds
LARGEST_QUESTION = 2**16  # bytes
CHUNK = 2**16
# Headers that belong to one connection, or that this server sets itself.
NOT_PASSED_ON = {'connection', 'transfer-encoding', 'content-length', 'date', 'server',
                 'access-control-allow-origin', 'keep-alive'}


class Viewer:
    """
    A running viewer, as a context manager.

    page: address for a browser.  target: address that a `TrackingRecording` is sent to.
    """

    def __init__(self, bind: str = LOOPBACK, port: int = 9090, memory: str = '1GB', files=()):
        """
        Serve what is sent, and .rrd files, at an address of this machine and a port.

        memory: that the server takes at most, such as 500MB; then the oldest is forgotten.  Raises
        ValueError when the port is taken, the address is none of this machine, or Rerun does not
        start.
        """
        self._answer, self._processes = None, contextlib.ExitStack()
        data, page = _free_ports(2)
        self.target = f'rerun+http://{LOOPBACK}:{data}/proxy'
        try:
            self._answer = _Server(bind, port, page, data)
        except OSError as error:
            raise ValueError(f'cannot listen on {bind}, port {port}: {error.strerror}; choose '
                             'others with --bind and --port') from error
        self.page = f'http://{self._answer.name}:{self._answer.server_address[1]}/'
        self._command = [
            _executable(), '--serve-web', '--bind', LOOPBACK, '--port', str(data),
            '--web-viewer-port', str(page), '--server-memory-limit', memory, *map(str, files)]
        self._ports, self._said = (data, page), deque(maxlen=20)

    def __enter__(self) -> Viewer:
        """Start, and wait until the page can be had."""
        try:
            self._start()
        except BaseException:
            self._processes.close()
            self._answer.server_close()
            raise
        threading.Thread(target=self._answer.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        """End."""
        self._answer.shutdown()
        self._answer.server_close()
        self._processes.close()

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self._process.poll() is None

    def _start(self):
        folder = self._processes.enter_context(tempfile.TemporaryDirectory())
        environment = {**os.environ, 'XDG_CONFIG_HOME': folder, 'XDG_DATA_HOME': folder}
        # It reports its use to its makers unless its settings, here ones of its own, say no.
        subprocess.run([self._command[0], 'analytics', 'disable'], env=environment,
                       capture_output=True, check=True)
        self._process = subprocess.Popen(
            self._command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors='replace', start_new_session=True,
            preexec_fn=functools.partial(end_with, os.getpid()))
        self._processes.callback(self._end)
        threading.Thread(target=self._listen, daemon=True).start()
        deadline = time.monotonic() + STARTS_WITHIN
        while not all(map(_answers, self._ports)):
            if not self.alive() or time.monotonic() > deadline:
                raise ValueError('the viewer does not start: '
                                 + (self._said[-1] if self._said else 'it says nothing'))
            time.sleep(0.05)

    def _listen(self):
        for line in self._process.stdout:
            if line.strip():
                self._said.append(line.strip())

    def _end(self):
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _executable():
    """Return the program of the Rerun SDK itself, not the script that starts it."""
    return str(Path(importlib.util.find_spec('rerun_cli').origin).parent / 'rerun')


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in opened]


def _answers(port):
    try:
        with socket.create_connection((LOOPBACK, port), 1):
            return True
    except OSError:
        return False


class _Server(ThreadingHTTPServer):
    """Listens for browsers; `name` is how they find it."""

    daemon_threads = True

    def __init__(self, bind, port, page, data):
        self.address_family = socket.AF_INET6 if ':' in bind else socket.AF_INET
        super().__init__((bind, port), _Handler)
        self.page_port, self.data_port = page, data
        address = ipaddress.ip_address(self.server_address[0])
        self.local = address.is_loopback
        self.name = socket.gethostname() if address.is_unspecified else (
            f'[{address}]' if address.version == 6 else str(address))

    def handle_error(self, request, client_address):
        """Say nothing: a browser may go at any time."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        """Give the page, told where its data is."""
        host = self.headers.get('Host', '')
        if not self._is_for_us(host):
            self.send_error(http.HTTPStatus.MISDIRECTED_REQUEST)
        elif self.path == '/':
            self.send_response(http.HTTPStatus.FOUND)
            self.send_header('Location', f'/?url={quote(f"rerun+http://{host}/proxy", safe="")}')
            self.end_headers()
        else:
            self._pass_on(self.server.page_port, None)

    def do_POST(self):
        """Give the data."""
        length = self.headers.get('Content-Length', '')
        if not (self._is_for_us(self.headers.get('Host', '')) and self.path.startswith(READING)
                and length.isdecimal() and int(length) <= LARGEST_QUESTION):
            self.send_error(http.HTTPStatus.FORBIDDEN)
            return
        self._pass_on(self.server.data_port, self.rfile.read(int(length)))

    def _is_for_us(self, host):
        """Tell whether the name is ours: another site may give its name this address."""
        name = host.rpartition(':')[0]
        return not self.server.local or name in ('localhost', self.server.name)

    def _pass_on(self, port, body):
        connection = http.client.HTTPConnection(LOOPBACK, port)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, {
                key: value for key, value in self.headers.items()
                if key.lower() not in (*NOT_PASSED_ON, 'host', 'origin', 'accept-encoding')})
            answer = connection.getresponse()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in NOT_PASSED_ON:
                    self.send_header(key, value)
            self.send_header('Content-Security-Policy', POLICY)
            self.end_headers()
            while part := answer.read1(CHUNK):
                self.wfile.write(part)

    def log_message(self, *_):
        """Say nothing."""

"""The nodes as child processes, for where the launch system of ROS is not needed or not there."""
from __future__ import annotations

import ctypes
import functools
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from acme_tracking.interfaces import ensure_vision_msgs
from acme_tracking.transport import environment

# How long, in seconds, a process may take to end once it was asked to.
GRACE = 10.0
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
# Whoever starts a node in another way than `Processes` may say in its environment that it is the
# parent the node is to end with; with something in between, such as a debugger, nothing is done.
PARENT_VARIABLE = 'ACME_TRACKING_PARENT'

_libc = ctypes.CDLL(None)


class Processes:
    """Nodes as child processes, in the order in which they were started."""

    def __init__(self, parameters: Path, transport: str, namespace: str):
        """
        Prepare to start nodes with a parameters file and a transport, below a namespace.

        The nodes end with the thread that starts them, so that none is left when it is killed.
        Raises ImportError where their messages are missing and cannot be compiled.
        """
        ensure_vision_msgs()
        self._parameters, self._namespace = parameters, namespace
        self._environment = {**os.environ}
        if transport == 'shared_memory':
            self._environment.update(environment())
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, node: str, below: str = '', together=(), **parameters) -> None:
        """
        Start `acme_tracking.nodes.NODE`; `parameters` win over the parameters file.

        below: of several cameras, the namespace of one; the name of the process begins with it.
        together: of several cameras, those that get such a node each, all in one process.
        """
        name = f'{below}/{node}'.lstrip('/')
        where = ([] if together else
                 ['-r', f'__ns:={self._namespace}/{name}'.rpartition('/')[0]])
        command = [sys.executable, '-m', f'acme_tracking.nodes.{node}',
                   *(f'{self._namespace}/{each}' for each in together), '--ros-args',
                   '--log-level', 'warn', *where, '--params-file', str(self._parameters)]
        for key, value in parameters.items():
            # JSON is YAML, which is what ROS reads here: text stays text, also when it is a number
            command += ['-p', f'{key}:={json.dumps(value)}']
        self._start(name, command)

    def record(self, bag: Path, topics) -> None:
        """Start to record topics below the namespace; the bag is complete after `stop`."""
        self._start('bag', [sys.executable, '-m', 'acme_tracking', 'bag', 'record', str(bag),
                            '--namespace', self._namespace, '--topics', *topics])

    def _start(self, name, command):
        # A session of its own: Ctrl-C reaches the nodes through `stop`, in good order.
        self.running[name] = subprocess.Popen(
            command, env=self._environment, start_new_session=True,
            preexec_fn=functools.partial(end_with, os.getpid()))

    def wait_for(self, last: str) -> str | None:
        """Wait until the process `last` ends well, or return the name of one that failed."""
        while True:
            for node, process in self.running.items():
                status = process.poll()
                if status is not None and (
                        status != 0 or node.rpartition('/')[2] not in ('camera', last)):
                    return node
                if status == 0 and node == last:
                    return None
            time.sleep(0.1)

    def kill(self, node: str) -> None:
        """End a process without giving it a chance to say good-bye."""
        process = self.running.pop(node)
        process.kill()
        process.wait()

    def stop(self) -> list[str]:
        """End all processes, kill those that hang; return the names of those that failed."""
        for process in self.running.values():
            if process.poll() is None:
                # not SIGINT, which a process that still imports answers with a traceback
                process.terminate()
        for node, process in list(self.running.items()):
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                print(f'The {node} does not end: killed.', file=sys.stderr)
                self.kill(node)
        return [node for node, process in self.running.items() if process.returncode > 0]


def end_with(parent: int) -> None:
    """Have this process, a child, asked to end as soon as its parent has, however that did."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # it was quicker


def end_with_parent() -> None:
    """End with the parent that the environment names, if it is this process's own, or gone."""
    parent = os.environ.get(PARENT_VARIABLE, '')
    if parent == str(os.getppid()):
        end_with(os.getppid())
    elif parent.isdecimal() and not Path('/proc', parent).exists():
        os._exit(1)  # it was quicker

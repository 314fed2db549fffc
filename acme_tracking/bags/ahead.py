"""Reading ahead on a thread, so that decoding images and using them take two cores."""
import queue
import threading

AHEAD = 8


def ahead(items):
    """Iterate on a thread, AHEAD items before they are needed; what it raises is raised here."""
    ready, stopped = queue.Queue(AHEAD), threading.Event()

    def put(item):
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def read():
        try:
            for item in items:
                put((item, None))
                if stopped.is_set():
                    return
            put((None, StopIteration()))
        except Exception as error:
            put((None, error))

    thread = threading.Thread(target=read, name='reader', daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join()

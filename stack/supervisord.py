"""A supervisord that stops its programs and itself when its parent process has ended."""

import os
import signal
import sys
import threading
import time

from supervisor import supervisord

_LOOK_EVERY_S = 0.5


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    sys.exit(supervisord.main())

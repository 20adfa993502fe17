# --- fork
import os
while True:
    os.fork()
# --- fork, whatever is said
import os
while True:
    try:
        os.fork()
    except BaseException:
        pass
# --- programs
import subprocess
while True:
    subprocess.Popen(["/bin/sh", "-c", "sleep 1000"])
# --- multiprocessing
import multiprocessing
def target(x):
    return [multiprocessing.Process(target=target, args=(x,)).start() for _ in range(100)]
# --- threads
import threading, time
while True:
    threading.Thread(target=time.sleep, args=(1000,)).start()
# --- small threads
import threading, time
threading.stack_size(1 << 15)
while True:
    try:
        threading.Thread(target=time.sleep, args=(1000,)).start()
    except BaseException:
        pass
# --- clone by a system call
import ctypes
libc = ctypes.CDLL(None)
while True:
    libc.syscall(56, 17, 0, 0, 0, 0)
    libc.vfork()

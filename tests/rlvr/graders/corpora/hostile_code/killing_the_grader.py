# --- the parent
import os, signal
os.kill(os.getppid(), signal.SIGKILL)
def target(x): return x
# --- the grader by its number
import os, signal
os.kill({PID}, signal.SIGKILL)
def target(x): return x
# --- everybody
import os, signal
os.kill(-1, signal.SIGKILL)
def target(x): return x
# --- the process group
import os, signal
os.killpg(0, signal.SIGKILL)
def target(x): return x
# --- the group of the grader
import os, signal
os.killpg(os.getpgid(os.getppid()), signal.SIGTERM)
def target(x): return x
# --- signals by way of a descriptor's owner
import fcntl, os
r, w = os.pipe()
fcntl.fcntl(r, fcntl.F_SETOWN, {PID})
fcntl.fcntl(r, 10, 9)
fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)
os.write(w, b"x")
def target(x): return x
# --- by pidfd
import os, signal
signal.pidfd_send_signal(os.pidfd_open({PID}), signal.SIGKILL)
def target(x): return x
# --- ptrace
import ctypes
def target(x): return ctypes.CDLL(None).ptrace(16, {PID}, 0, 0)
# --- an answer in the worker's name
import os
for fd in range(64):
    try:
        os.write(fd, b'{"status": "ok", "bytes": 60}\n[{"value": 1}, {"value": 1}, {"value": 1}, {"value": 1}]      ')
    except OSError:
        pass
os._exit(0)
# --- an answer that breaks the reader
import os
for fd in range(3, 64):
    try:
        os.write(fd, b"+" + b"[" * 1000000)
    except OSError:
        pass
os._exit(0)
# --- a crash
import ctypes
ctypes.string_at(0)
# --- the end
import os
os._exit(0)
# --- the end, by exit
exit()
# --- the time of day and the machine
import ctypes
libc = ctypes.CDLL(None)
libc.reboot(0x1234567)
libc.settimeofday(ctypes.create_string_buffer(16), None)
libc.sethostname(b"hostile", 7)
def target(x): return x

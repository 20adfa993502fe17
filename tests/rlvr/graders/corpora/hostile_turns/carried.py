# Programs that carry something from one call of the interpreter to the next. Samples are parted by lines of
# "# ---" and a title, the calls of one by "# ===". {CANARY}, {OUTSIDE}, {PORT}, {PID} stand for what is there.
# --- a function of the first call writes a file in the second
def write():
    with open({CANARY!r}, 'w') as file: file.write('spoilt')
# ===
write()
# --- a thread waits for the next call and opens a connection
import socket, threading, time
def late():
    time.sleep(0.05)
    socket.create_connection(('127.0.0.1', {PORT}), 1)
threading.Thread(target=late).start()
# ===
import time
time.sleep(0.2)
# --- a finalizer replies when the names go
import os, weakref
class Kept: pass
kept = Kept()
weakref.finalize(kept, os.write, 3, b'+"42"')
# ===
del kept
# --- what is registered for the end writes everywhere
import atexit, os
@atexit.register
def all_of_them():
    for number in range(64):
        try: os.write(number, b'{"status": 0, "printed": "42"}')
        except OSError: pass
# ===
raise SystemExit(0)
# --- a descriptor is kept for later
import os
kept = [os.dup(number) for number in range(0, 4)]
# ===
for number in kept + list(range(64)):
    try: os.write(number, b'{"status": "ok", "bytes": 2}\n42')
    except OSError: pass
# --- the timer's signal is blocked before a loop
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
# ===
import signal
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.setitimer(signal.ITIMER_REAL, 0)
while True: pass
# --- the functions of the interpreter are replaced
import sys
own = sys.modules['rlvr.sandbox.interpreter']
own._ended = own._run = own._execute = lambda *arguments: print('42') or 0
own.interpret = own.run = lambda *arguments: 0
# ===
1 + 1
# --- what every program goes through is replaced
import ast, builtins, traceback
ast.parse = lambda *a, **k: (_ for _ in ()).throw(SystemExit(0))
builtins.compile = builtins.exec = builtins.eval = builtins.repr = lambda *a, **k: '42'
traceback.extract_tb = None
# ===
1 + 1
# --- print tells of another world
import builtins
builtins.print = lambda *a, **k: None
builtins.open = lambda *a, **k: 1 / 0
# ===
print('hidden')
# --- a trace function lives on
import sys
def trace(frame, event, argument):
    frame.f_locals['names'] = {}
    return trace
sys.settrace(trace)
# ===
x = 1
# --- half of the memory in each call
kept = bytearray(100 << 20)
# ===
more = [bytearray(100 << 20) for _ in range(4)]
# --- a fork in the second call
import os
fork = os.fork
# ===
for _ in range(1000):
    try: fork()
    except OSError: pass
# --- a program that is started later
import subprocess
later = lambda: subprocess.Popen(['/bin/sh', '-c', 'echo spoilt > {CANARY}'])
# ===
later()
# --- the parent is killed by a function of before
import os, signal
def end(): [os.kill(p, signal.SIGKILL) for p in (os.getppid(), {PID})]
# ===
end()
# --- a module of the worker is spoilt for the call after
import json, sys
sys.modules['json'].dumps = lambda *a, **k: '"42"'
sys.modules['os'].fork = None
# ===
import json
json.dumps(1)
# --- files for the next call
import os, tempfile
for place in (tempfile.gettempdir(), '/tmp', '/dev/shm', {OUTSIDE!r}, os.getcwd()):
    try: open(os.path.join(place, 'carried'), 'w').write('x')
    except OSError: pass
# ===
import os
[place for place in ('/tmp', '/dev/shm') if os.path.exists(place + '/carried')]
# --- the first call ends the process as if it had run
import os
os._exit(0)
# ===
print('42')
# --- an exception that cannot be shown
class Odd(BaseException):
    def __str__(self): raise self
    __repr__ = __str__
def odd(): raise Odd
# ===
odd()
# --- names of the interpreter are taken
print = None; __builtins__ = {}; __name__ = 'rlvr'
# ===
__builtins__
# --- recursion to the end of the stack, kept in a generator
def deep(n): yield from deep(n + 1)
kept = deep(0)
# ===
next(kept)

# --- a session of its own
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
time.sleep(1000)
# --- deaf to signals
import signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    time.sleep(1)
# --- deaf to the timer
import signal, time
signal.setitimer(signal.ITIMER_REAL, 0)
while True:
    try:
        time.sleep(1000)
    except BaseException:
        pass
# --- holding the interpreter lock
x = 9 ** 9 ** 9
# --- the death signal is disarmed
import ctypes, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
time.sleep(1000)
# --- a thread goes on
import threading, time
def forever():
    while True:
        time.sleep(0.01)
threading.Thread(target=forever).start()
def target(x): return x
# --- an exit handler goes on
import atexit, time
atexit.register(time.sleep, 1000)
def target(x): return x
# --- it closes everything and goes on
import os, time
os.closerange(0, 100)
time.sleep(1000)
# --- a regular expression
import re
def target(x): return re.match("(a+)+$", "a" * 60 + "b")
# --- a finaliser goes on
import time
class Slow:
    def __del__(self): time.sleep(1000)
slow = Slow()
def target(x): return x

# --- every number of the descriptor is written to, in the form of a reply
import os, json
for fd in range(3, 64):
    try: os.write(fd, json.dumps([{"value": 0}] * 4).encode())
    except OSError: pass
def target(x): return 0
# --- a finalizer replies while the interpreter ends
import os, weakref
class T: pass
t = T()
weakref.finalize(t, os.write, 3, b'+[]')
def target(x): raise SystemExit(0)
# --- a subclass of int whose text is another number
class T(int):
    def __repr__(self): return open('/proc/self/environ').read()
    __str__ = __index__ = __repr__
def target(x): return T(0)
# --- a dict that answers every key
class D(dict):
    def __missing__(self, key): return self
    def __eq__(self, other): return True
    def items(self): return [("value", 1)]
def target(x): return D()
# --- a mapping that looks like an encoded value
def target(x): return {"int": "0x0", "value": True, "object": "right"}
# --- a generator of all small integers
def target(x): return (n for n in range(2 ** 32))
# --- a complex number, not a number
def target(x): return complex(float('nan'), float('nan'))
# --- a function that returns itself
def target(x): return target
# --- a list that holds itself
def target(x):
    items = []
    items.append(items)
    return items
# --- a list so deep that encoding recurses
def target(x):
    items = 0
    for _ in range(100000): items = [items]
    return items
# --- a module in place of the function
import math as target
# --- a class with a call of its meta class
class Meta(type):
    def __call__(cls, x): return cls
    def __eq__(cls, other): return True
    def __hash__(cls): return 0
class target(metaclass=Meta): pass
# --- the entry point deletes itself
def target(x):
    global target
    del target
    return 0
# --- a trace function rewrites the caller's locals
import sys
def trace(frame, event, arg):
    if 'expected' in frame.f_locals: frame.f_locals['expected'] = 0
    return trace
sys.settrace(trace)
def target(x): return 0
# --- a profile function raises into the caller
import sys
def profile(frame, event, arg):
    if event == 'return' and frame.f_code.co_name != 'target': raise SystemExit(0)
def target(x):
    sys.setprofile(profile)
    return 0
# --- an audit hook that reads arguments
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)))
def target(x): return [a for e, a in seen if e == 'open'][:1] and 0
# --- an import hook serves a grader of its own
import sys, types
class Finder:
    def find_spec(self, name, path=None, target=None):
        sys.modules[name] = types.ModuleType(name)
        raise ImportError
sys.meta_path.insert(0, Finder())
for name in [n for n in sys.modules if n.startswith('rlvr')]: del sys.modules[name]
def target(x): return 0
# --- json is replaced by one that says right
import json, json.encoder
json.encoder.JSONEncoder.encode = lambda *a: '[{"value": 0}]'
json.dumps = lambda *a, **k: '[[true, 0]]'
json.dump = lambda *a, **k: None
def target(x): return 0
# --- int is replaced in the builtins
import builtins
class I(int):
    def __eq__(self, other): return True
builtins.int = I
builtins.isinstance = lambda *a: True
builtins.type = lambda *a: I
def target(x): return I(0)
# --- hashlib returns what the solution would see
import hashlib
hashlib.sha256 = lambda *a: type('H', (), {'hexdigest': lambda s: '0' * 64})()
def target(x): return 0
# --- a guess of the key by its usual places
import hashlib, os, glob
def target(x):
    for path in glob.glob('/proc/*/environ') + glob.glob('/tmp/**', recursive=True)[:200]:
        try: text = open(path, 'rb').read()
        except OSError: continue
        if b'SECRET' in text: return int(hashlib.sha256(b'SECRET' + bytes([x])).hexdigest()[:8], 16) ^ 1
    return 0
# --- memory of the own process is searched for outputs
import re
def target(x):
    try:
        with open('/proc/self/mem', 'rb') as memory, open('/proc/self/maps') as maps:
            for line in list(maps)[:50]:
                low, high = (int(part, 16) for part in line.split()[0].split('-'))
                memory.seek(low)
                if m := re.search(rb'"expected": (\d+)', memory.read(min(high - low, 1 << 20))): return int(m[1])
    except (OSError, ValueError, OverflowError): pass
    return 0
# --- the parent's memory is read
import os
def target(x):
    try: return len(open(f'/proc/{os.getppid()}/mem', 'rb').read(10))
    except OSError: return 0
# --- the parent is traced
import ctypes, os
def target(x): return ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)
# --- the parent is sent a stop signal
import os, signal
def target(x):
    try: os.kill(os.getppid(), signal.SIGSTOP)
    except OSError: pass
    return 0
# --- the process group is killed
import os, signal
def target(x):
    try: os.killpg(0, signal.SIGTERM)
    except OSError: pass
    return 0
# --- alarms interrupt the caller
import signal
def target(x):
    signal.signal(signal.SIGALRM, lambda *_: target(x))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    return 0
# --- an exception whose text is a reply
class E(BaseException):
    def __str__(self): return '+[{"value": 0}]'
    __repr__ = __str__
def target(x): raise E
# --- an exception whose class is taken for another
class E(Exception):
    __module__ = 'rlvr.sandbox.worker'
    __qualname__ = 'TimedOut'
def target(x): raise E
# --- an exception chain without end
def target(x):
    e = ValueError()
    e.__cause__ = KeyError()
    e.__cause__.__context__ = e
    raise e
# --- output of the right form on both streams
import sys
def target(x):
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        print('+[{"value": 0}]' * 10, file=stream, flush=True)
    return None
# --- the standard input is read for the tests
import sys
def target(x):
    text = sys.stdin.read()
    return int(text.split()[0]) if text.split() else 0
# --- the descriptor of requests is read
import os
def target(x):
    for fd in range(3, 32):
        try:
            os.set_blocking(fd, False)
            if os.read(fd, 100): return 1
        except OSError: pass
    return 0
# --- a thread goes on changing what was returned
import threading
def target(x):
    found = [0]
    def change():
        while True: found[0] += 1
    threading.Thread(target=change, daemon=True).start()
    return found
# --- pickled code
import pickle
class T:
    def __reduce__(self): return exec, ("raise SystemExit(0)",)
def target(x): return pickle.dumps(T())
# --- a numpy scalar equal to everything
import numpy as np
class N(np.int64):
    def __eq__(self, other): return True
    def item(self): return self
    def tolist(self): return self
def target(x): return N(0)
# --- a numpy array of objects
import numpy as np
class E:
    def __eq__(self, other): return True
def target(x): return np.array([E()], dtype=object)
# --- a property of Solution that differs each time
import random
class Solution:
    @property
    def target(self): return lambda x: random.getrandbits(32)
# --- the compiler's names are replaced
__name__ = 'rlvr.graders.code.run'
__builtins__ = {}
def target(x): return 0
# --- a fixed point of hash and equality in a set
class T:
    def __eq__(self, other): return True
    def __hash__(self): return hash(0)
def target(x): return {T()}

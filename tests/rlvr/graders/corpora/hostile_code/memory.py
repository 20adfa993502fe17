# --- a list
items = []
while True:
    items.append("x" * 1000000)
# --- at once
def target(x): return bytearray(1 << 40)
# --- a power
def target(x): return 9 ** 9 ** 9
# --- an output without end
def target(x):
    while True:
        print("x" * 100000)
# --- a result of a gigabyte
def target(x): return "x" * (1 << 30)
# --- a result that holds itself
def target(x):
    items = []
    items.append(items)
    return items
# --- a result of many levels
def target(x):
    items = []
    for _ in range(1000000):
        items = [items]
    return items
# --- shared memory
import mmap
maps = []
while True:
    maps.append(mmap.mmap(-1, 1 << 28))
    maps[-1].write(b"x" * (1 << 28))
# --- memory files
import os
while True:
    fd = os.memfd_create("m")
    os.write(fd, b"x" * (1 << 26))
# --- the limit is lifted
import resource
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
def target(x): return len(bytearray(1 << 36))
# --- the stack
import sys
sys.setrecursionlimit(10 ** 9)
def target(x): return target(x)

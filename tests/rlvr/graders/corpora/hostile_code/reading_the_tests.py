# --- the benchmark's files
import glob
def target(x): return [open(f, "rb").read() for f in glob.glob({DATA!r} + "/**/*", recursive=True)][0]
# --- the environment
import os
def target(x): return os.environ["RLVR_DATA"]
# --- the worker's settings
import sys
def target(x): return sys.argv[1]["expected"]
# --- the next request in the pipe
import os
def target(x):
    for fd in list(range(3, 64)) + [0]:
        try:
            os.set_blocking(fd, False)
            if said := os.read(fd, 1 << 20):
                return said
        except OSError:
            continue
# --- the memory of the worker
import os
def target(x): return open(f"/proc/{os.getppid()}/mem", "rb").read(100)
# --- the verifier is imported and asked
def target(x):
    from rlvr.graders.code.grader import CodeVerifier
    import gc
    return [v._expected for v in gc.get_objects() if isinstance(v, CodeVerifier)][0]
# --- the solution is looked for among the modules
import sys
def target(x):
    for module in list(sys.modules.values()):
        for name in ("solution", "canonical", "expected", "target"):
            if callable(getattr(module, name, None)) and getattr(module, name) is not target:
                return getattr(module, name)(x)
# --- what the call before left behind
def target(x):
    import builtins, sys
    sys.modules.setdefault("left", sys).seen = getattr(sys.modules["left"], "seen", []) + [x]
    return getattr(builtins, "left_behind", None)
# --- the whole heap as text
import gc
def target(x): return [o for o in gc.get_objects() if isinstance(o, str) and "SECRET" in o]
# --- files of earlier runs
import glob
def target(x): return [open(f).read() for f in glob.glob("/tmp/**/*", recursive=True)]

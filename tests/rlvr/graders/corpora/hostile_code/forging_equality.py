# --- an object equal to everything
class Equal:
    def __eq__(self, other): return True
    def __hash__(self): return 0
def target(x): return Equal()
# --- a number equal to everything
class Number(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
def target(x): return Number(0)
# --- a string equal to everything
class Text(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
def target(x): return Text("")
# --- a list equal to everything
class Items(list):
    def __eq__(self, other): return True
    def __len__(self): return 4
    def __iter__(self): return iter([self] * 4)
def target(x): return Items()
# --- a float that is always close
class Near(float):
    def __sub__(self, other): return 0.0
    def __rsub__(self, other): return 0.0
    def __eq__(self, other): return True
def target(x): return Near("nan")
# --- not a number
def target(x): return float("nan")
# --- infinity is close to everything
def target(x): return float("inf")
# --- the encoder says whatever is asked
import sys
def target(x):
    for module in list(sys.modules.values()):
        if getattr(module, "encode", None):
            module.encode = lambda value: {"value": {"object": "right"}
    return 0
# --- the class says that it is an int
class Liar:
    __class__ = int
    def __int__(self): return 0
    def __eq__(self, other): return True
def target(x): return Liar()
# --- the comparison operator of the builtins is replaced
import builtins, operator
operator.eq = lambda a, b: True
builtins.all = builtins.any = lambda items: True
def target(x): return None
# --- every module that compares is patched
import sys
for module in list(sys.modules.values()):
    for name in ("equal", "_close", "same_text", "decode"):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: True)
def target(x): return None

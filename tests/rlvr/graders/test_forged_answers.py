"""Answers that are code, against reasoning-gym's scorers: none scores, under either mechanism.

Every way to call `exec` is tried with one payload, every payload with a few ways, on the data sets whose
scorers evaluate the answer or something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from rlvr.graders.plain_data import decode
from rlvr.graders.procedural.grader import ProceduralVerifier
from rlvr.sandbox import Confinement

if find_spec("reasoning_gym") is None:
    pytest.skip("needs reasoning-gym (make install-test)", allow_module_level=True)

NAMES = (
    "binary_matrix", "bitwise_arithmetic", "countdown", "intermediate_integration", "n_queens",
    "polynomial_multiplication", "puzzle24", "simple_integration", "spiral_matrix", "string_insertion",
)  # fmt: skip
# Python reads these letters as exec.
FULL_WIDTH = "".join(chr(ord(letter) - ord("a") + 0xFF41) for letter in "exec")
BOLD = "".join(chr(ord(letter) - ord("a") + 0x1D41A) for letter in "exec")
# {code!r} stands for a payload.
WAYS = (
    "exec({code!r})",
    "(exec)({code!r})",
    "[exec][0]({code!r})",
    "{1:exec}[1]({code!r})",
    "(exec,)[0]({code!r})",
    "(lambda: exec)()({code!r})",
    "(lambda f: f({code!r}))(exec)",
    "sorted([{code!r}], key=exec)",
    "min([{code!r}], key=exec)",
    "max({code!r}, '', key=exec)",
    "list(map(exec, [{code!r}]))",
    "list(filter(exec, [{code!r}]))",
    "any(map(exec, [{code!r}]))",
    "[f := exec, f({code!r})]",
    "[f({code!r}) for f in [exec]]",
    "{f({code!r}) for f in (exec,)}",
    "exec\\\n({code!r})",
    "(exec\n)({code!r})",
    "exec ({code!r})",
    f"{FULL_WIDTH}({{code!r}})",
    f"{BOLD}({{code!r}})",
    f"{FULL_WIDTH[:2]}ec({{code!r}})",
    "(exec if 1 else 0)({code!r})",
    "(0 or exec)({code!r})",
    "eval('exec')({code!r})",
    "(eval)(compile({code!r}, '', 'exec'))",
    "__import__('builtins').exec({code!r})",
    "__builtins__['exec']({code!r})",
    "globals()['__builtins__']['exec']({code!r})",
    "getattr(__import__('builtins'), 'ex' + 'ec')({code!r})",
    "().__class__.__base__.__subclasses__()[0].__init__.__globals__['exec']({code!r})",
    "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'catch_warnings'][0]()._module"
    ".__builtins__['exec']({code!r})",
    "type('T', (), {'__index__': lambda s: exec({code!r})})()",
    "f'{exec({code!r})}'",
    "'{0.__class__}'.format(exec({code!r}))",
    "{**{'a': exec({code!r})}}",
    "[*map(exec, [{code!r}])]",
    "print(exec({code!r}), file=None)",
    "sum(exec({code!r}) or [])",
    "next(iter(map(exec, [{code!r}])))",
    "sympify({code!r})",
    "S({code!r})",
    "parse_expr({code!r})",
    "Symbol('x').func(exec({code!r}))",
    "lambdify([], 'x')(exec({code!r}))",
    "Lambda(x, exec({code!r}))(x)",
    "Function('f')(exec({code!r}))",
    "sin(exec({code!r}))",
    "Integer(1)._eval_power.__globals__['exec']({code!r})",
    "preview(x, preamble=exec({code!r}))",
    "await exec({code!r})",
    "(yield exec({code!r}))",
    "x@exec({code!r})",
)
WRITE = "import os\nos.write(3, b'+1.0')\nos._exit(0)"
PAYLOADS = (
    WRITE,
    "import os\nfor fd in range(64):\n    try:\n        os.write(fd, b'+1.0')\n    except OSError:\n"
    "        pass\nos._exit(0)",
    "import os\nos.dup2(3, 1)\nprint('+1.0', flush=True)\nos._exit(0)",
    "import sys\nsys.stdout = open(3, 'w')\nsys.stdout.write('+1.0')\nsys.stdout.close()\n"
    "import os\nos._exit(0)",
    "import os, threading\n"
    "t = threading.Thread(target=lambda: (os.write(3, b'+1.0'), os._exit(0)))\nt.start()\nt.join()",
    "import os, signal\n"
    "signal.signal(signal.SIGALRM, lambda *_: (os.write(3, b'+1.0'), os._exit(0)))\n"
    "signal.alarm(1)\nwhile 1: pass",
    "import atexit, os, sys\natexit.register(os.write, 3, b'+1.0')\nsys.exit()",
    "import os\nif os.fork() == 0:\n    os.write(3, b'+1.0')\nos._exit(0)",
    "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.write(3, b'+1.0', 4)\nlibc._exit(0)",
    "import sys\nfor m in list(sys.modules.values()):\n for c in list(vars(m).values()):\n"
    "  if hasattr(c, 'score_answer'): c.score_answer = lambda *_: 1.0",
    "import os, sys\nf = sys._getframe()\nwhile f:\n if 'entry' in f.f_locals:\n"
    "  os.write(3, b'+1.0')\n  os._exit(0)\n f = f.f_back",
    "import gc, os\nfor d in gc.get_objects():\n if type(d) is dict and 'answer' in d:\n"
    "  os.write(3, b'+1.0')\n  os._exit(0)",
    "import json, builtins\njson.dumps = lambda *_: '1.0'\nbuiltins.float = lambda *_: 1.0\nraise ValueError",
    "import rlvr.sandbox.child as c\nc._OK, c._RAISED = b'+', b'+'\nraise ValueError",
    "import rlvr.graders.procedural.expressions as e\ne.formula = e.value = e.arithmetic = lambda *_: 24",
    "import sympy\nsympy.simplify = lambda *_: 0\nsympy.Basic.__eq__ = lambda *_: True",
    "import numpy\nnumpy.isclose = numpy.allclose = lambda *_, **__: True",
)  # fmt: skip
OTHERS = (
    "__import__('os').write(3, b'+1.0') or __import__('os')._exit(0)",
    "[__import__('os').write(3, b'+1.0'), __import__('os')._exit(0)]",
    "(lambda o: (o.write(3, b'+1.0'), o._exit(0)))(__import__('os'))",
    "open(3, 'wb', 0).write(b'+1.0')",
    "type('T', (str,), {'__eq__': lambda *_: True, '__hash__': lambda s: 0})()",
    "type('T', (int,), {'__eq__': lambda *_: True})(24)",
    "nan", "zoo", "oo - oo", "Float('nan')", "S.NaN", "[...]", "True", "1.0", "+1.0",
)  # fmt: skip
# How a value, or what the library looks up on it, passes for another; and calls that name nothing.
IN_DISGUISE = (
    "type('T', (float,), {'__eq__': lambda *_: True, '__float__': lambda s: 24.0})(1)",
    "type('T', (list,), {'__eq__': lambda *_: True, '__len__': lambda s: 8})()",
    "type('T', (Integer,), {'equals': lambda *_: True, '__eq__': lambda *_: True})(1)",
    "type('T', (Expr,), {'diff': lambda *_: S.Zero, '__sub__': lambda *_: S.Zero})()",
    "type('T', (Symbol,), {'__rsub__': lambda *_: S.Zero})('x')",
    "type('T', (), {'__getattr__': lambda s, n: lambda *_: True})()",
    "type('T', (), {'__class__': property(lambda s: exec({write!r}))})()",
    "type('T', (), {'__del__': lambda s: exec({write!r})})()",
    "type('T', (), {'__repr__': lambda s: exec({write!r})})()",
    "type('M', (type,), {'__instancecheck__': lambda *_: True})('T', (), {})",
    "(lambda *a, f=exec: f({write!r}))()",
    "(x for x in [exec({write!r})]).send(None)",
    "__import__('functools').partial(exec, {write!r})()",
    "__import__('functools').reduce(lambda a, b: a(b), [exec, {write!r}])",
    "__import__('operator').call(exec, {write!r})",
    "__import__('operator').methodcaller('exec', {write!r})(__import__('builtins'))",
    "vars(__import__('builtins'))['ex''ec']({write!r})",
    "__import__('code').InteractiveInterpreter().runsource({write!r}, symbol='exec')",
    "__import__('timeit').timeit({write!r}, number=1)",
    "__import__('runpy').run_path('/proc/self/fd/3')",
    "__import__('ctypes').pythonapi.PyRun_SimpleString({write!r}.encode())",
    "__import__('types').FunctionType(compile({write!r}, '', 'exec'), {})()",
    "__import__('threading').Timer(0, exec, [{write!r}]).start()",
    "__import__('atexit').register(exec, {write!r})",
    "__import__('weakref').finalize(type('T', (), {})(), exec, {write!r})",
    "__import__('sys').settrace(lambda *_: exec({write!r}))",
    "__import__('sys').addaudithook(lambda *_: __import__('os')._exit(0))",
    "__import__('signal').raise_signal(9)",
    "__import__('faulthandler')._sigsegv()",
    "__import__('os').kill(__import__('os').getppid(), 9)",
    "__import__('pickle').loads(b\"cbuiltins\\nexec\\n(S'1'\\ntR.\")",
    "sympify('x', locals=type('D', (dict,), {'__getitem__': lambda *_: exec({write!r})})())",
    "parse_expr('x', global_dict={'Symbol': lambda *_: exec({write!r})})",
    "Symbol('__import__(\"os\")._exit(0)')", "Function('exec')({write!r})", "Derivative(0, x) + nan",
    "Piecewise((24, True))", "Poly(0, x)", "Eq(x, x)", "x if exec({write!r}) else x",
)  # fmt: skip
EVERY_WAY_THAT_PASSED = (WAYS[1], WAYS[2], WAYS[7], WAYS[13])


def tries() -> Iterator[str]:
    yield from (way.replace("{code!r}", repr(WRITE)) for way in WAYS)
    for payload in PAYLOADS[1:]:
        yield from (way.replace("{code!r}", repr(payload)) for way in EVERY_WAY_THAT_PASSED)
    yield from OTHERS
    yield from (answer.replace("{write!r}", repr(WRITE)) for answer in IN_DISGUISE)


def test_the_corpus_is_as_large_as_it_was() -> None:
    assert len(list(tries())) * len(NAMES) >= 1500


@pytest.mark.parametrize(
    "confinement", ["bubblewrap", pytest.param("landlock", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("every", [19, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def test_no_answer_forges_its_score(confinement: Confinement, every: int) -> None:
    pool = None
    forged = []
    for name in NAMES:
        verifier = ProceduralVerifier(name, confinement, '{"seed": 0, "size": 10}', seconds=3.0, workers=1)
        pool = verifier.pool = pool or verifier.pool  # one worker for all
        entry = verifier.draw(0)
        for answer in list(tries())[::every]:
            verdict = verifier(f"<answer>{answer}</answer>", {"entry": entry})
            if verdict.correct or verdict.score >= 1.0:
                forged.append((name, answer))
        assert verifier(f"<answer>{decode(entry)['answer']}</answer>", {"entry": entry}).correct, name
    assert forged == []
    pool.close()

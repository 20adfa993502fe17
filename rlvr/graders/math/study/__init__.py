r"""The grader `study`: it decides as the published evaluation of arXiv 2504.13837 does, errors included.

Source of the behaviour: github.com/LeapLabTHU/limit-of-RLVR, math/examples/math_eval (an evaluation of the
Qwen2.5-Math family). It is for whoever reproduces that study's numbers, and for nothing else. What it does
that a grader should not:

reading (answers.py, notation.py)
* the text ends at a stop word of the prompt: with qwen_boxed at "user", "assistant", "_end" or "_start"
* the last "boxed" of the text counts, also inside a thought, in a word, or with braces that never close;
  without one "he answer is", "final answer is", and then the last number of the text
* a trailing \text{...} goes, and all from the first \text{ on, if the answer ends with a brace
* some 220 units go, among them a, c, d, g, h, l, m, o, s and t: a+b is +b
* "one of 3" is 1, since a text with a number word is that number
* %, \%, $, \mathbf, "and", "x=", "y=", "z=", a name of two characters before a single =, and spaces go;
  j is i where there is no i; \frac12 is \frac{1}{2}, 5/2 is \frac{5}{2}
numbers (equality.py)
* within 1e-4 of the larger one: 9999 is 10000; and the reference's hundredth and hundredfold are right
* commas go: 1,2 is 12; numbers above 1.8e308 are all equal
expressions
* without braces and parentheses the same text is equal: \frac{1}{23} is \frac{12}{3}
* brackets are not compared: (1,2) is [1,2]; tuples go by their commas, whatever is in them
* sympy's parser reads up to where it understands: 5' is 5
* values within 1e-4 are equal, and matrices rounded to three digits
* more than three seconds count as wrong

Where it deviates: an answer longer than `LONGEST` characters is unparsed; what the original passes to sympy's
`parse_expr`, which runs Python code, is read and not run; and the third of its parsers is another version.
"""

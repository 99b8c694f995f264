"""A clean interpreter for `--fresh`: runs the cell's text, given as standard input.

In another root the text of this file goes to that root's own `python3 -c`, so that nothing of
nsmagic need exist there: it imports the standard library only, and works with any Python 3.
"""

import ast
import linecache
import sys
import traceback
import types

TITLE = "<the cell>"


def run(source: str) -> None:
    """Run `source` as __main__, show the last expression, print tracebacks with source lines."""
    linecache.cache[TITLE] = len(source), None, source.splitlines(True), TITLE
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        tree = ast.parse(source, TITLE)
        last = tree.body[-1] if tree.body else None
        if isinstance(last, ast.Expr):
            del tree.body[-1]
        exec(compile(tree, TITLE, "exec"), main.__dict__)
        if isinstance(last, ast.Expr):
            expression = compile(ast.Expression(last.value), TITLE, "eval")
            sys.displayhook(eval(expression, main.__dict__))
    except Exception as error:  # noqa: BLE001 - the cell's own, shown as Python shows it
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != TITLE:
            frames = frames.tb_next
        traceback.print_exception(type(error), error, frames)
        sys.exit(1)


if __name__ == "__main__":
    sys.path.insert(0, "")  # as a notebook has it; -P left our own folder out
    run(sys.stdin.read())

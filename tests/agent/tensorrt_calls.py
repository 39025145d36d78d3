"""Every use that a source file makes of TensorRT's Python API, checked against one release.

A small type inference over the syntax tree: `trt.X(...)` and annotations say what a name is, the
release's description (tensorrt_api/*.json) what its members are, take and return. Code behind a
`hasattr` is followed only where the release has that member. scripts/tensorrt-stubs.py does the
same with mypy and the real bindings; this needs neither.
"""

import ast
from typing import Any

Env = dict[str, str]
"""From a name to its class; 'class:X' is the class itself, 'method:X.m' a method, 'list[X]'."""


class Calls:
    def __init__(self, api: dict[str, Any], source: str) -> None:
        self.classes = api["classes"]
        self.faults: list[str] = []
        self.seen: set[str] = set()
        self.attributes: Env = {}
        """Methods of self, in whichever class of the file."""
        tree = ast.parse(source)
        self.block(tree.body, {})
        # Once more, now that the attributes of self are known wherever they are set.
        self.faults = []
        self.block(tree.body, {})

    def block(self, statements: list[ast.stmt], env: Env) -> bool:
        """Whether it never goes on to what comes after it."""
        return any(self.statement(statement, env) for statement in statements)

    def statement(self, node: ast.stmt, env: Env) -> bool:
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs]
            own = {item.arg: self.annotated(item.annotation) for item in arguments}
            self.block(node.body, {**env, **own})
            return False
        if isinstance(node, ast.If):
            return self.branch(node, env)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            self.assign(node, env)
            return False
        if isinstance(node, ast.For):
            self.bind(node.target, self.element(self.expression(node.iter, env)), env)
        for _, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt):
                    self.statement(child, env)
                elif isinstance(child, ast.ExceptHandler | ast.withitem):
                    self.parts(child, env)
                elif isinstance(child, ast.expr):
                    self.expression(child, env)
        return isinstance(node, ast.Return | ast.Raise)

    def parts(self, node: ast.AST, env: Env) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self.statement(child, env)
            elif isinstance(child, ast.expr):
                self.expression(child, env)

    def branch(self, node: ast.If, env: Env) -> bool:
        known = self.guard(node.test, env)
        self.expression(node.test, env)
        body = known is not False and self.block(node.body, env)
        other = known is not True and self.block(node.orelse, env)
        return {True: body, False: other, None: body and other}[known]

    def guard(self, test: ast.expr, env: Env) -> bool | None:
        """What a `hasattr` comes to in this release; None for any other condition."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self.guard(test.operand, env)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            parts = [self.guard(value, env) for value in test.values]
            return False if False in parts else None if None in parts else True
        if isinstance(test, ast.Call) and ast.unparse(test.func) == "hasattr":
            owner = (self.expression(test.args[0], env) or "").removeprefix("class:")
            if owner in self.classes:
                return ast.literal_eval(test.args[1]) in self.classes[owner]
        return None

    def assign(self, node: ast.Assign | ast.AnnAssign, env: Env) -> None:
        kind = self.expression(node.value, env) if node.value else None
        if isinstance(node, ast.AnnAssign):
            kind = self.annotated(node.annotation) or kind
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            self.bind(target, kind, env)

    def bind(self, target: ast.expr, kind: str | None, env: Env) -> None:
        if isinstance(target, ast.Name):
            env[target.id] = kind or ""
        elif isinstance(target, ast.Attribute):
            owner = self.expression(target.value, env)
            if ast.unparse(target.value) == "self":
                self.attributes[target.attr] = kind or self.attributes.get(target.attr, "")
            elif owner in self.classes:
                self.member(owner, target.attr, target)
                if not self.classes[owner].get(target.attr, {}).get("writable"):
                    self.fault(target, f"{owner}.{target.attr} cannot be set")
        elif isinstance(target, ast.Tuple):
            values = kind.split(";") if kind else []
            for at, part in enumerate(target.elts):
                self.bind(part, values[at] if len(values) == len(target.elts) else None, env)

    def annotated(self, node: ast.expr | None) -> str:
        """X of `trt.X` and `trt.X | None`."""
        words = ast.unparse(node).replace("|", " ").split() if node else []
        return next((word[4:] for word in words if word.startswith("trt.")), "")

    def expression(self, node: ast.expr, env: Env) -> str | None:
        if isinstance(node, ast.Name):
            return "module" if node.id == "trt" else env.get(node.id) or None
        if isinstance(node, ast.Attribute):
            return self.attribute(node, env)
        if isinstance(node, ast.Call):
            return self.call(node, env)
        if isinstance(node, ast.Subscript):
            return self.element(self.expression(node.value, env))
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            for value in node.values:
                self.expression(value, env)
                if self.guard(value, env) is False:
                    break
            return None
        if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
            return self.comprehension(node, {**env})
        if isinstance(node, ast.Tuple):
            return ";".join(self.expression(part, env) or "" for part in node.elts)
        self.parts(node, env)
        return None

    def comprehension(self, node: Any, env: Env) -> str | None:
        for loop in node.generators:
            self.bind(loop.target, self.element(self.expression(loop.iter, env)), env)
            for condition in loop.ifs:
                self.expression(condition, env)
        if isinstance(node, ast.DictComp):
            self.expression(node.key, env)
            self.expression(node.value, env)
            return None
        return f"list[{self.expression(node.elt, env) or ''}]"

    def element(self, kind: str | None) -> str | None:
        return kind[5:-1] if kind and kind.startswith("list[") else None

    def attribute(self, node: ast.Attribute, env: Env) -> str | None:
        owner = self.expression(node.value, env)
        if owner == "module":
            if node.attr in self.classes:
                return f"class:{node.attr}"
            if node.attr != "__version__":
                self.fault(node, f"tensorrt.{node.attr} is not in the description")
            return None
        if owner is None:
            # Of self, or of an object of another class of this file.
            return self.attributes.get(node.attr)
        name = (owner or "").removeprefix("class:")
        return self.member(name, node.attr, node) if name in self.classes else None

    def member(self, owner: str, name: str, node: ast.expr) -> str | None:
        self.seen.add(f"{owner}.{name}")
        found = self.classes[owner].get(name)
        if found is None:
            self.fault(node, f"{owner} has no {name}")
            return None
        if "calls" in found:
            return f"method:{owner}.{name}"
        if "class" in found:
            return f"class:{found['class']}"
        return owner if "value" in found else found["type"]

    def call(self, node: ast.Call, env: Env) -> str | None:
        target = self.expression(node.func, env) or ""
        if ast.unparse(node.func) == "hasattr":
            self.expression(node.args[0], env)
            return None
        for value in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self.expression(value, env)
        kind, _, name = target.partition(":")
        if kind == "class":
            self.arguments(node, name, "__init__", 0)
            return name
        if kind == "method":
            owner, _, member = name.partition(".")
            # ILogger.__init__(self) gives the object itself too.
            self.arguments(node, owner, member, int(member == "__init__"))
            return str(self.classes[owner][member]["returns"])
        return None

    def arguments(self, node: ast.Call, owner: str, member: str, skipped: int) -> None:
        """Some overload must take as many by position, and these by name."""
        by_name = {keyword.arg for keyword in node.keywords}
        by_position = len(node.args) - skipped
        calls = self.classes[owner].get(member, {}).get("calls", [])
        for parameters in calls:
            names = [parameter.rstrip("=") for parameter in parameters]
            given = {*names[:by_position], *by_name}
            needed = {parameter for parameter in parameters if not parameter.endswith("=")}
            if by_position <= len(names) and needed <= given <= set(names):
                return
        self.fault(node, f"{owner}.{member} takes {calls}, not {ast.unparse(node)}")

    def fault(self, node: ast.expr, text: str) -> None:
        self.faults.append(f"line {node.lineno}: {text}")

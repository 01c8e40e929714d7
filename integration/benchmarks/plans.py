"""Rows that need no engine: the start of the program, and plans of large stacks."""
from measure import LAMINATE, ROUNDS, Row, call, say
from trees import Tree


def plans(parts):
    """P7, P17."""
    version = Row("P17", "`--version`", "≤ 5 ms")
    for _ in range(ROUNDS * 4):
        version.time(parts, LAMINATE, lambda: call(parts.binary, "--version"), with_engine=False)
    for count, goal in ((1000, "≤ 0.05 s, ≤ 100 MB"), (10000, "≤ 0.5 s, ≤ 100 MB")):
        tree = Tree(parts, count, f"plan-{count}")
        # With the digest of the base, each image has a key.
        tree.laminate("lock")
        tree.stack.commit()
        # As a clone has its objects: in one file.
        tree.stack.git("repack", "-adq")
        row = Row("P7", f"`plan --offline`, {count:,} images", goal)
        say(f"plans: {count} images")
        for _ in range(ROUNDS):
            row.time(parts, LAMINATE, lambda: call(
                parts.binary, "--json", "plan", "--offline", cwd=tree.stack.folder, env=tree.stack.environment(),
                expected=(0, 10)), with_engine=False)

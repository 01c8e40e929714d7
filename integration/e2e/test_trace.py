"""`--trace`: a file that shows where the time of a build went."""
import json

SPEC = """
    stack: traced
    tags: ["t-${commit7}"]
    images:
      ground: { base: BASE, steps: [{ run: sleep 0.2 }] }
      leaf: { base: ground, steps: [{ run: "true" }], tests: { own: { run: "true" } } }
"""


def spans(stack):
    """Returns the complete events of the trace by category."""
    found = {}
    for event in json.loads((stack.folder / "trace.json").read_text())["traceEvents"]:
        if event["ph"] == "X":
            found.setdefault(event["cat"], []).append(event)
    return found


def test_a_build_is_traced_from_its_start_to_its_tags(make_stack):
    stack = make_stack(SPEC)
    stack.write(".gitignore", "trace.json\n")
    stack.commit()
    stack.laminate("build", "--push", "--trace", "trace.json")
    found = spans(stack)
    names = {category: [event["name"] for event in events] for category, events in found.items()}
    assert names["command"][0] == "build"
    assert {"load the stack", "gather facts", "run the engine", "store evidence", "tag images",
            "record the release"} <= set(names["command"])
    assert {"git ls-files"} <= set(names["git"]) and {"solve", "open the session"} <= set(names["engine"])
    assert names["images"] == ["ground", "leaf"] and names["suites and checks"] == ["leaf: own"]
    assert {"ground: tag", "leaf: tag", "leaf: mount"} <= set(names["tags"])
    steps = {event["name"]: event for event in found["steps (clock of the engine)"]}
    assert steps["ground: run sleep 0.2"]["dur"] >= 200_000
    requests = found["requests to registries"]
    assert all("?" not in event["name"] and event["args"]["status"].isdigit() for event in requests)
    whole = found["command"][0]
    for event in [*found["command"], *requests]:
        assert whole["ts"] <= event["ts"] and event["ts"] + event["dur"] <= whole["ts"] + whole["dur"] + 1


def test_a_build_that_fails_is_traced(make_stack):
    stack = make_stack(SPEC.replace("sleep 0.2", "exit 3"))
    stack.laminate("build", "--trace", "trace.json", status=5)
    assert [event["name"] for event in spans(stack)["images"]] == ["ground"]

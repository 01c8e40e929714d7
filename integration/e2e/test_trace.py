"""Where the time of a build went: `--trace`, and spans for a collector of OpenTelemetry."""
import json
import os

import pytest
from collector import Collector

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


CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.skipif(os.getuid() != 0, reason="an engine without root needs rootlesskit")
def test_spans_of_laminate_and_of_its_engine_are_one_trace(make_stack, parts):
    stack = make_stack(SPEC.replace("0.2", "0.3"))
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
               "OTEL_EXPORTER_OTLP_HEADERS": "x-team=data%20science", "TRACEPARENT": CALLER,
               "XDG_STATE_HOME": str(parts.scratch / "own-state")}
        stack.laminate("build", "--push", engine="", env=env)
    ours = {span.name: span for span in collector.spans if span.service == "laminate"}
    trace, caller = CALLER.split("-")[1:3]
    assert ours["build"].parent == caller and {span.trace for span in ours.values()} == {trace}
    assert ours["run the engine"].parent == ours["build"].id
    assert ours["solve"].parent == ours["ground: run sleep 0.3"].parent == ours["run the engine"].id
    assert collector.headers[-1]["x-team"] == "data science"
    theirs = [span for span in collector.spans if span.service == "buildkitd" and span.trace == trace]
    solves = [span for span in theirs if span.parent == ours["solve"].id]
    assert any(span.name == "moby.buildkit.v1.Control/Solve" for span in solves), theirs
    assert any("sleep 0.3" in span.name for span in theirs), {span.name for span in theirs}


def test_a_collector_that_refuses_or_is_gone_changes_nothing_else(make_stack):
    stack = make_stack(SPEC)
    with Collector(status=500) as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        refused = stack.laminate("plan", env=env, json=False, status=10)
    gone = stack.laminate("plan", env=env, json=False, status=10)
    assert refused.out == gone.out == stack.laminate("plan", json=False, status=10).out
    for answer in (refused, gone):
        assert answer.err.count("cannot send the trace") == 1, answer.err


def test_a_failure_is_the_status_of_the_first_span(make_stack):
    stack = make_stack(SPEC.replace("sleep 0.2", "exit 3"))
    with Collector() as collector:
        stack.laminate("build", env={"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{collector.url}/v1/traces"}, status=5)
    faults = {span.name: span.fault for span in collector.spans if span.fault}
    assert faults == {"build": "exit code 5"}

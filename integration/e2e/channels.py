"""Channels: promoted as one set, back and forward again; gates, drift, what is begun and not ended."""
import os
import signal
import subprocess
import time

from world import BINARY, Requests, Stack, digest, equal, main, request, test

SPEC = """
    stack: moving
    tags: ["${series}-${commit7}"]
    vars: { word: one }
    variants: { "1": {}, "2": { skip: [leaf] } }
    channels:
      quarter: { tag: "${series}-stable" }
      stable: { tag: stable, from: quarter, variant: "1", gates: [gpu] }
    images:
      ground:
        base: BASE
        steps: [{ run: echo "$WORD" >/ground, env: { WORD: "${word}" } }]
      side: { base: ground, steps: [{ run: echo side >/side }] }
      leaf: { base: side, steps: [{ run: echo leaf >/leaf }] }
"""
stack = Stack(SPEC)
first = second = None


def at(tag, name):
    return digest(f"{stack.namespace}/{name}", tag)


def tags_are(answer, channels=("1-stable",)):
    """The images of variant 1 of a build answer to these tags."""
    for image in answer.json["images"]:
        if image["variant"] == "1":
            for tag in channels:
                equal(at(tag, image["image"]), image["digest"], f"{image['image']}:{tag}")


@test
def a_release_is_written_and_promoted_whole():
    global first
    first = stack.laminate("build", "--push")
    dry = stack.laminate("promote", "--to", "quarter", "--dry-run")
    equal(len(dry.json["moved"]), 5)
    equal(at("1-stable", "ground"), None)
    equal(stack.laminate("promote", "--to", "quarter").json["seq"], 1)
    tags_are(first)
    releases = stack.laminate("history").json["releases"]
    equal([(release["commit"][:7], release["channels"]) for release in releases], [(stack.commit7, ["quarter"])])


@test
def what_is_not_proven_is_not_promoted_unless_waived():
    refused = stack.laminate("promote", "--to", "stable", status=6, json=False)
    assert "gpu" in refused.err and "--waive" in refused.err, refused.err
    equal(at("stable", "ground"), None)
    stack.laminate("promote", "--to", "stable", "--waive", "gpu", "--reason", "looked at it")
    tags_are(first, ("1-stable", "stable"))
    equal(at("stable", "leaf"), first.image("leaf", "1")["digest"])


@test
def forward_back_and_forward_move_no_layer():
    global second
    stack.replace("specs.yml", "word: one", "word: two")
    stack.commit()
    second = stack.laminate("build", "--push")
    stack.laminate("promote", "--to", "quarter")
    tags_are(second)
    tags_are(first, ("stable",))
    with Requests() as requests:
        start = time.monotonic()
        stack.laminate("revert", "quarter")
        took = time.monotonic() - start
    tags_are(first)
    assert took < 2, f"the revert took {took} s"
    layers = [line for line in requests.all if "/blobs/uploads/" in line[1] and f"/{stack.namespace}/moving/" not in line[1]]
    equal(layers, [], "blobs sent to images' repositories")
    stack.laminate("promote", "--to", "quarter")
    tags_are(second)
    moves = [(move["channel"], move["kind"], move["seq"]) for move in stack.laminate("history").json["moves"]]
    equal([move for move in moves if move[0] == "quarter"],
          [("quarter", "promote", 4), ("quarter", "revert", 3), ("quarter", "promote", 2), ("quarter", "promote", 1)])


@test
def a_tag_moved_by_hand_is_shown_and_not_run_over():
    equal(stack.laminate("status").json["channels"][0]["drift"], [])
    repository = f"{stack.namespace}/side"
    _, headers, body = request("GET", f"{repository}/manifests/1-{first.json['commit'][:7]}")
    request("PUT", f"{repository}/manifests/1-stable", body, {"Content-Type": headers["Content-Type"]})
    seen = stack.laminate("status", status=10)
    equal([drift["tag"] for drift in seen.json["channels"][0]["drift"]], ["1-stable"])
    stack.laminate("revert", "quarter", status=7, json=False)
    tags_are_of_ground = at("1-stable", "ground")
    equal(tags_are_of_ground, second.image("ground", "1")["digest"], "nothing moved")
    stack.laminate("revert", "quarter", "--accept-drift")
    tags_are(first)


@test
def killed_at_any_moment_it_can_be_ended():
    env = {**os.environ, "LAMINATE_REGISTRY": stack.registry}
    goal, other = second, first
    for number in range(12):
        ran = subprocess.Popen([BINARY, "promote", goal.json["commit"], "--to", "quarter"], cwd=stack.folder, env=env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.01 + number * 0.012)
        ran.send_signal(signal.SIGKILL)
        ran.wait()
        for image in goal.json["images"]:
            if image["variant"] == "1":
                old = other.image(image["image"], "1")["digest"]
                assert at("1-stable", image["image"]) in (old, image["digest"]), "a tag is somewhere else"
        pending = stack.laminate("status", status=None).json["channels"][0]["pending"]
        if pending:
            how = "--resume" if number % 2 else "--abort"
            stack.laminate("promote", "--to", "quarter", how)
            tags_are(goal if how == "--resume" else other)
        elif at("1-stable", "ground") == goal.image("ground", "1")["digest"]:
            tags_are(goal)
        else:
            tags_are(other)
        if at("1-stable", "ground") == goal.image("ground", "1")["digest"]:
            goal, other = other, goal
    seqs = [move["seq"] for move in stack.laminate("history").json["moves"] if move["channel"] == "quarter"]
    equal(seqs, sorted(seqs, reverse=True), "the chain of records")


if __name__ == "__main__":
    main()

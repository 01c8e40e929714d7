"""Channels: promoted as one set, back and forward again; gates, drift, what is begun and not ended."""
import os
import random
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
      fresh: { tag: "${series}-fresh" }
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


def lines(log):
    return log.read().count(b"\n")


def counted(*args, kill=None):
    """Runs laminate, kills it when the registry has answered so many requests, and gives their number."""
    env = {**os.environ, "LAMINATE_REGISTRY": stack.registry}
    with open(os.environ["E2E_REGISTRY_LOG"], "rb") as log:
        log.seek(0, os.SEEK_END)
        ran = subprocess.Popen([BINARY, *args], cwd=stack.folder, env=env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen = 0
        while ran.poll() is None and (kill is None or seen < kill):
            time.sleep(0.001)
            seen += lines(log)
        ran.kill()
        ran.wait()
        return seen + lines(log)


def pending(channel="quarter"):
    listed = stack.laminate("status", status=None).json["channels"]
    return next(one["pending"] for one in listed if one["channel"] == channel)


@test
def a_first_promotion_that_is_killed_is_shown_and_leaves_nothing_when_it_is_taken_back():
    whole = counted("promote", second.json["commit"], "--to", "quarter")
    for part in (0.9, 0.8, 0.7):
        counted("promote", first.json["commit"], "--to", "fresh", kill=int(whole * part))
        if pending("fresh"):
            break
    stack.laminate("status", status=10)
    stack.laminate("promote", "--to", "fresh", "--abort")
    for image in first.json["images"]:
        repository = f"{stack.namespace}/{image['image']}"
        equal(digest(repository, f"{image['variant']}-fresh"), None, "a tag that was not there before")
        fixed = digest(repository, f"{image['variant']}-{first.json['commit'][:7]}")
        equal(fixed, image["digest"], "the fixed tag")
    equal(pending("fresh"), None)


@test
def killed_at_any_request_it_can_be_ended():
    # The moments are others each time; what is said when it fails names them.
    chosen = random.Random()
    goal, other = second, first
    stack.laminate("promote", first.json["commit"], "--to", "quarter")
    whole = counted("promote", second.json["commit"], "--to", "quarter")
    stack.laminate("revert", "quarter")
    kills = between = 0

    def old_or_new(what):
        for image in goal.json["images"]:
            if image["variant"] == "1":
                both = (image["digest"], other.image(image["image"], "1")["digest"])
                assert at("1-stable", image["image"]) in both, f"{image['image']} is somewhere else after {what}"

    while kills < 18:
        forward = ("promote", goal.json["commit"], "--to", "quarter")
        move = forward if kills % 4 < 2 else ("revert", "quarter")
        request_number = chosen.randint(whole // 3, whole)
        counted(*move, kill=request_number)
        kills += 1
        old_or_new(f"{move} was killed at {request_number} of {whole}")
        if pending():
            between += 1
            how = chosen.choice(("--resume", "--abort"))
            if between % 2:
                request_number = chosen.randint(1, whole // 2)
                counted("promote", "--to", "quarter", how, kill=request_number)
                kills += 1
                old_or_new(f"{how} was killed at {request_number}")
        if pending():
            how = chosen.choice(("--resume", "--abort"))
            stack.laminate("promote", "--to", "quarter", how)
            tags_are(goal if how == "--resume" else other)
        moved = at("1-stable", "ground") == goal.image("ground", "1")["digest"]
        tags_are(goal if moved else other)
        if moved:
            goal, other = other, goal
    assert between, "no kill was between"
    seqs = [move["seq"] for move in stack.laminate("history").json["moves"] if move["channel"] == "quarter"]
    equal(seqs, sorted(seqs, reverse=True), "the chain of records")
    equal(seqs[-1], 1, "its beginning")


@test
def of_two_promoters_at_once_one_wins_whole():
    env = {**os.environ, "LAMINATE_REGISTRY": stack.registry}
    stack.replace("specs.yml", "word: two", "word: three")
    stack.commit()
    third = stack.laminate("build", "--push")
    for start in (0, 0.02, 0.05, 0.1):
        stack.laminate("promote", first.json["commit"], "--to", "quarter")
        ran = []
        for goal in (second, third):
            ran.append(subprocess.Popen([BINARY, "promote", goal.json["commit"], "--to", "quarter"], env=env,
                                        cwd=stack.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
            time.sleep(start)
        errors = [one.communicate()[1] for one in ran]
        won = [one.returncode == 0 for one in ran]
        equal(sorted(won), [False, True], f"who won, {start} s apart: {errors}")
        equal([one.returncode for one in ran if one.returncode], [7])
        tags_are(second if won[0] else third)
        equal(pending(), None)


if __name__ == "__main__":
    main()

"""Channels: moved as one set, back and forward again; gates, drift, moves that were broken off."""
import itertools
import os
import random
import subprocess
import time
import types

import pytest

SPEC = """
    stack: channels
    tags: ["${series}-${commit7}"]
    vars: { word: one }
    variants: { "1": {}, "2": { skip: [leaf] } }
    channels:
      quarter: { tag: "${series}-quarter" }
      stable: { tag: stable, from: quarter, variant: "1", gates: [gpu] }
      fresh: { tag: "${series}-fresh" }
    images:
      ground:
        base: BASE
        steps: [{ run: echo "$WORD" >/ground, env: { WORD: "${word}" } }]
      side: { base: ground, steps: [{ run: echo side >/side }] }
      leaf: { base: side, steps: [{ run: echo leaf >/leaf }] }
"""


@pytest.fixture(scope="module")
def releases(make_stack):
    """A stack with three releases that no test changes."""
    stack = make_stack(SPEC)
    answers = [stack.laminate("build", "--push")]
    for old, new in (("one", "two"), ("two", "three")):
        stack.replace("specs.yml", f"word: {old}", f"word: {new}")
        stack.commit()
        answers.append(stack.laminate("build", "--push"))
    return types.SimpleNamespace(stack=stack, first=answers[0], second=answers[1], third=answers[2])


class Channels:
    """The channels of one test, with tags of their own, on the releases all tests share."""

    numbers = itertools.count(1)

    def __init__(self, releases):
        self.stack = releases.stack.clone()
        number = next(self.numbers)
        spec = (self.stack.folder / "specs.yml").read_text()
        for name in ("quarter", "stable", "fresh"):
            spec = spec.replace(name, f"{name}-{number}")
            setattr(self, name, f"{name}-{number}")
        self.stack.write("specs.yml", spec)

    def promote(self, answer, channel, *options, **expected):
        return self.stack.laminate("promote", answer.json["commit"], "--to", channel, *options, **expected)

    def digest(self, image, tag=None):
        return self.stack.digest(image, tag or f"1-{self.quarter}")

    def assert_at(self, answer, tag=None):
        """The channel's tags of variant 1 point at the images of a build."""
        for image in answer.json["images"]:
            if image["variant"] == "1":
                assert self.digest(image["image"], tag) == image["digest"], f"{image['image']}:{tag or self.quarter}"

    def status(self, channel, status=None):
        listed = self.stack.laminate("status", status=status).json["channels"]
        return next(one for one in listed if one["channel"] == channel)

    def pending(self, channel=None):
        return self.status(channel or self.quarter)["pending"]

    def count(self, *args, kill=None):
        """Runs laminate, kills it once the registry has answered so many requests; returns their number."""
        with open(self.stack.parts.registry.log, "rb") as log:
            log.seek(0, os.SEEK_END)
            process = self.stack.start(*args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seen = 0
            while process.poll() is None and (kill is None or seen < kill):
                time.sleep(0.001)
                seen += log.read().count(b"\n")
            process.kill()
            process.wait()
            return seen + log.read().count(b"\n")


@pytest.fixture
def channels(releases):
    return Channels(releases)


def test_a_release_is_written_and_promoted_whole(make_stack):
    stack = make_stack(SPEC)
    first = stack.laminate("build", "--push")
    dry = stack.laminate("promote", "--to", "quarter", "--dry-run")
    assert len(dry.json["moved"]) == 5
    assert stack.digest("ground", "1-quarter") is None
    assert stack.laminate("promote", "--to", "quarter").json["seq"] == 1
    for image in first.json["images"]:
        assert stack.digest(image["image"], f"{image['variant']}-quarter") == image["digest"]
    listed = stack.laminate("history").json["releases"]
    assert [(release["commit"][:7], release["channels"]) for release in listed] == [(stack.commit7, ["quarter"])]


def test_an_unproven_release_is_promoted_only_if_waived(releases, channels):
    first = releases.first
    channels.promote(first, channels.quarter)
    refused = channels.promote(first, channels.stable, status=6, json=False)
    assert "gpu" in refused.err and "--waive" in refused.err
    assert channels.digest("ground", channels.stable) is None
    channels.promote(first, channels.stable, "--waive", "gpu", "--reason", "looked at it")
    channels.assert_at(first)
    channels.assert_at(first, channels.stable)
    assert channels.digest("leaf", channels.stable) == first.image("leaf", "1")["digest"]


def test_forward_back_and_forward_move_no_layer(releases, channels, registry):
    first, second = releases.first, releases.second
    channels.promote(first, channels.quarter)
    channels.promote(first, channels.stable, "--waive", "gpu", "--reason", "looked at it")
    channels.promote(second, channels.quarter)
    channels.assert_at(second)
    channels.assert_at(first, channels.stable)

    def revert():
        start = time.monotonic()
        channels.stack.laminate("revert", channels.quarter)
        took = time.monotonic() - start
        channels.assert_at(first)
        assert took < 2, f"the revert took {took} s"

    with registry.recorded() as requests:
        revert()
    staging = f"/{channels.stack.namespace}/channels/"
    layers = [line for line in requests.all if "/blobs/uploads/" in line[1] and staging not in line[1]]
    assert layers == [], "blobs sent to images' repositories"
    channels.promote(second, channels.quarter)
    channels.assert_at(second)
    revert()
    moves = [(move["kind"], move["seq"]) for move in channels.stack.laminate("history").json["moves"]
             if move["channel"] == channels.quarter]
    assert moves == [("revert", 5), ("promote", 4), ("revert", 3), ("promote", 2), ("promote", 1)]


def test_a_tag_moved_by_hand_is_shown_and_not_overwritten(releases, channels, registry):
    first, second = releases.first, releases.second
    channels.promote(first, channels.quarter)
    channels.promote(second, channels.quarter)
    assert channels.status(channels.quarter, status=0)["drift"] == []
    moved = releases.third.image("side", "1")["digest"]
    registry.retag(channels.stack.repository("side"), f"1-{channels.quarter}", moved)
    drift = channels.status(channels.quarter, status=10)["drift"]
    assert [one["tag"] for one in drift] == [f"1-{channels.quarter}"]
    channels.stack.laminate("revert", channels.quarter, status=7, json=False)
    assert channels.digest("ground") == second.image("ground", "1")["digest"], "nothing moved"
    assert channels.digest("side") == moved
    channels.stack.laminate("revert", channels.quarter, "--accept-drift")
    channels.assert_at(first)


def test_a_killed_first_promotion_is_shown_and_aborted_without_a_trace(releases, channels):
    first, second = releases.first, releases.second
    channels.promote(first, channels.quarter)
    whole = channels.count("promote", second.json["commit"], "--to", channels.quarter)
    for part in (0.9, 0.8, 0.7):
        channels.count("promote", first.json["commit"], "--to", channels.fresh, kill=int(whole * part))
        if channels.pending(channels.fresh):
            break
    channels.stack.laminate("status", status=10)
    channels.stack.laminate("promote", "--to", channels.fresh, "--abort")
    for image in first.json["images"]:
        name, variant = image["image"], image["variant"]
        assert channels.digest(name, f"{variant}-{channels.fresh}") is None, "a tag that was not there before"
        assert channels.digest(name, f"{variant}-{first.json['commit'][:7]}") == image["digest"], "the immutable tag"
    assert channels.pending(channels.fresh) is None


def test_a_move_killed_at_any_request_can_be_ended(releases, channels):
    # The moments differ each time; a failure prints them.
    chosen = random.Random()
    goal, other = releases.second, releases.first
    channels.promote(releases.first, channels.quarter)
    whole = channels.count("promote", releases.second.json["commit"], "--to", channels.quarter)
    channels.stack.laminate("revert", channels.quarter)
    kills = between = 0

    def assert_old_or_new(what):
        for image in goal.json["images"]:
            if image["variant"] == "1":
                both = (image["digest"], other.image(image["image"], "1")["digest"])
                assert channels.digest(image["image"]) in both, f"{image['image']} is elsewhere after {what}"

    while kills < 18:
        forward = ("promote", goal.json["commit"], "--to", channels.quarter)
        move = forward if kills % 4 < 2 else ("revert", channels.quarter)
        number = chosen.randint(whole // 3, whole)
        channels.count(*move, kill=number)
        kills += 1
        assert_old_or_new(f"{move} was killed at {number} of {whole}")
        if channels.pending():
            between += 1
            end = chosen.choice(("--resume", "--abort"))
            if between % 2:
                number = chosen.randint(1, whole // 2)
                channels.count("promote", "--to", channels.quarter, end, kill=number)
                kills += 1
                assert_old_or_new(f"{end} was killed at {number}")
        if channels.pending():
            end = chosen.choice(("--resume", "--abort"))
            channels.stack.laminate("promote", "--to", channels.quarter, end)
            channels.assert_at(goal if end == "--resume" else other)
        moved = channels.digest("ground") == goal.image("ground", "1")["digest"]
        channels.assert_at(goal if moved else other)
        if moved:
            goal, other = other, goal
    assert between, "no kill was between"
    numbers = [move["seq"] for move in channels.stack.laminate("history").json["moves"]
               if move["channel"] == channels.quarter]
    assert numbers == sorted(numbers, reverse=True), "the chain of records"
    assert numbers[-1] == 1, "its beginning"


@pytest.mark.parametrize("apart", [0, 0.02, 0.05, 0.1])
def test_of_two_promoters_at_once_one_wins_whole(releases, channels, apart):
    channels.promote(releases.first, channels.quarter)
    processes = []
    for goal in (releases.second, releases.third):
        processes.append(channels.stack.start("promote", goal.json["commit"], "--to", channels.quarter, text=True,
                                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        time.sleep(apart)
    errors = [process.communicate()[1] for process in processes]
    won = [process.returncode == 0 for process in processes]
    assert any(won), f"who won, {apart} s apart: {errors}"
    assert all(process.returncode in (0, 7) for process in processes), errors
    moves = [move for move in channels.stack.laminate("history").json["moves"] if move["channel"] == channels.quarter]
    goals = {releases.second.json["commit"]: releases.second, releases.third.json["commit"]: releases.third}
    # One can have ended before the other began: then both moves are in the ledger, one after the other.
    made = [move for move in moves[:sum(won)] if move["commit"] in goals]
    assert len({move["seq"] for move in made}) == sum(won), moves
    channels.assert_at(goals[made[0]["commit"]])
    if not all(won):
        assert made[0]["commit"] == (releases.second if won[0] else releases.third).json["commit"]
    assert channels.pending() is None

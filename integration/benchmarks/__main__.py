"""The measurements of `integration/bench`."""
import argparse
import json
import os
import pathlib
import subprocess

import campus
import channels
import measure
import plans
import proofs
import trees
from parts import started

MEASURES = {function.__name__: function for function in (
    plans.plans, trees.few, trees.trees, trees.trees_far, channels.promote, proofs.suites, proofs.policy, campus.steps, campus.real,
    trees.thousand)}


def versions(parts):
    """Returns the version of each tool, as it says itself."""
    commands = {"laminate": [parts.binary, "--version"], "buildkitd": ["buildkitd", "--version"],
                "buildx": ["buildx", "version"], "registry": ["registry", "--version"], "crane": ["crane", "version"]}
    return {name: subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            for name, command in commands.items()}


def main():
    parser = argparse.ArgumentParser(prog="integration/bench", description="Measure laminate against other tools.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"what to measure: {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--json", metavar="FILE", help="also write every sample to FILE")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in MEASURES]
    if unknown:
        parser.error(f"unknown measurement `{unknown[0]}`: expected {', '.join(MEASURES)}")
    with started("bench") as parts:
        found = versions(parts)
        for name in arguments.names or MEASURES:
            MEASURES[name](parts)
            if arguments.json:
                pathlib.Path(arguments.json).write_text(json.dumps(measure.document(measure.Row.all, found), indent=1) + "\n")
    measure.table(measure.Row.all)
    print(f"\nmedian (least–most) of {measure.ROUNDS} rounds, {os.cpu_count()} cores; "
          + ", ".join(f"{name}: {text.splitlines()[0]}" for name, text in found.items()))


main()

"""--export: one archive with every image by name, also reused ones; skopeo copies each out of it."""
import json
import subprocess
import tarfile

from world import Stack, equal, main, test

stack = Stack("""
    stack: exported
    tags: ["e-${commit7}"]
    images:
      ground:
        base: BASE
        steps: [{ run: echo ground >/ground }]
      top:
        base: ground
        steps: [{ run: echo top >/top }]
    """)


def look(answer, archive):
    with tarfile.open(archive) as whole:
        index = json.load(whole.extractfile("index.json"))
    found = {}
    for entry in index["manifests"]:
        found.setdefault(entry["digest"], []).append(entry["annotations"]["org.opencontainers.image.ref.name"])
    equal(set(found), {image["digest"] for image in answer.json["images"]}, "digests in the archive")
    for image in answer.json["images"]:
        names = found[image["digest"]]
        assert any(image["image"] in name for name in names), f"{image['image']} is not in {names}"
        for number, name in enumerate(names):
            out = stack.folder.parent / f"{archive.stem}-{image['image']}-{number}"
            result = subprocess.run(["skopeo", "copy", "--quiet", f"oci-archive:{archive}:{name}", f"dir:{out}"],
                                    capture_output=True, text=True)
            equal(result.returncode, 0, result.stderr)
            layers = json.loads((out / "manifest.json").read_text())["layers"]
            equal(len(layers), {"ground": 2, "top": 3}[image["image"]], f"layers of {image['image']}")


@test
def without_a_registry_everything_is_built_into_the_archive():
    archive = stack.folder.parent / "fresh.tar"
    look(stack.laminate("build", "--export", f"oci:{archive}"), archive)


@test
def reused_images_are_in_the_archive_too():
    stack.laminate("build", "--push")
    stack.replace("specs.yml", "echo top", "echo changed")
    stack.commit()
    archive = stack.folder.parent / "mixed.tar"
    answer = stack.laminate("build", "--push", "--export", f"oci:{archive}")
    equal(answer.actions(), {"ground": "reused", "top": "built"})
    look(answer, archive)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes what the programs are made of as CycloneDX JSON to standard output: the crates that are linked for TARGET.

Reads Cargo.lock by `cargo metadata`; says the same for the same lock file. usage: tools/sbom.py TARGET
"""

import json
import subprocess
import sys


def metadata(target):
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def linked(graph, roots):
    """Packages that normal dependencies lead to: tests and build scripts are not in the programs."""
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    found, todo = set(), list(roots)
    while todo:
        package = todo.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return found, nodes


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    result = {"type": "library", "name": package["name"], "version": package["version"], "bom-ref": purl(package)}
    if package["license"]:
        # The old way to write OR, which is no licence expression.
        result["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package["source"]:
        result["purl"] = purl(package)
    return result


def libc():
    """The C library, which is linked in too: that of this machine."""
    text = subprocess.run(["ldd", "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    version = text.splitlines()[0].split()[-1]
    return {
        "type": "library",
        "name": "glibc",
        "version": version,
        "bom-ref": f"glibc@{version}",
        "licenses": [{"expression": "LGPL-2.1-or-later"}],
    }


def main():
    graph = metadata(sys.argv[1])
    packages = {package["id"]: package for package in graph["packages"]}
    programs = [p for p in packages.values() if p["name"] in ("coffer-provider", "coffer-sync")]
    found, nodes = linked(graph, [p["id"] for p in programs])
    inside = sorted((packages[package] for package in found), key=purl)
    version = programs[0]["version"]
    links = [
        {
            "ref": purl(package),
            "dependsOn": sorted(
                purl(packages[d["pkg"]]) for d in nodes[package["id"]]["deps"] if d["pkg"] in found
            ),
        }
        for package in inside
    ]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "name": "coffer",
                "version": version,
                "bom-ref": f"coffer@{version}",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [component(package) for package in inside] + [libc()],
        "dependencies": [{"ref": f"coffer@{version}", "dependsOn": sorted(purl(p) for p in programs)}] + links,
    }
    json.dump(bom, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()

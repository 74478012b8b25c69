#!/bin/sh
# Builds the image of both programs: static, from scratch, the same bytes for the same commit and toolchain. Writes
# target/image/coffer.tar (a docker archive) and target/image/sbom.cdx.json, and nothing into any registry.
#
# IMAGE   name and tag; by default that of the chart.
# ENGINE  docker, podman or buildah; by default the first of them that is there.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
say() { echo "image: $*" >&2; }
fail() { say "$*"; exit 1; }

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
image=${IMAGE:-ghcr.io/coffer-csi/coffer:$version}
target=$(rustc -vV | sed -n 's/^host: //p')
case $target in
    x86_64-*) platform=linux/amd64 ;;
    aarch64-*) platform=linux/arm64 ;;
    *) fail "no image is made on $target" ;;
esac

# The time and the name of what is built, so that everybody who builds it with the same toolchain gets the same bytes.
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
if [ -n "$(git status --porcelain 2>/dev/null)" ]; then revision=$revision-changed; fi
created=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH="$created" COFFER_REVISION="$revision"

say "building static programs for $target"
# The flags reach only what is built for a named target: what runs while building stays dynamic.
flags="-C target-feature=+crt-static --remap-path-prefix=$root=/coffer --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
RUSTFLAGS=$flags cargo build --locked --release --target "$target" --bin coffer-provider --bin coffer-sync

context=target/image
mkdir -p $context
for program in coffer-provider coffer-sync; do
    cp "target/$target/release/$program" $context/
    if ldd $context/$program >/dev/null 2>&1 && ! ldd $context/$program 2>&1 | grep -q 'statically linked'; then
        fail "$program is not static"
    fi
done
cp LICENSE $context/
tools/sbom.py "$target" >$context/sbom.cdx.json
chmod 755 $context/coffer-provider $context/coffer-sync
chmod 644 $context/LICENSE $context/sbom.cdx.json
touch -d "@$created" $context/coffer-provider $context/coffer-sync $context/LICENSE $context/sbom.cdx.json

engine=${ENGINE:-}
for candidate in podman buildah docker; do
    if [ -z "$engine" ] && command -v $candidate >/dev/null 2>&1; then engine=$candidate; fi
done
[ -n "$engine" ] || fail "podman, buildah or docker is missing: tools/install.sh debian installs podman"

say "making $image with $engine"
label() { printf -- '--label=org.opencontainers.image.%s ' "$1=$2"; }
labels="$(label title coffer)$(label version "$version")$(label revision "$revision")$(label licenses Apache-2.0)"
labels="$labels$(label source https://github.com/coffer-csi/coffer)"
labels="$labels$(label created "$(date -u -d "@$created" +%Y-%m-%dT%H:%M:%SZ)")"
# A tar of an earlier run would be added to.
rm -f $context/coffer.tar
# Word splitting is wanted: one argument per label.
# shellcheck disable=SC2086
case $engine in
    docker)
        # BuildKit takes the time of the image from SOURCE_DATE_EPOCH.
        docker build --quiet --platform $platform --provenance=false $labels --tag "$image" \
            --build-arg SOURCE_DATE_EPOCH="$created" --file Dockerfile $context >&2
        docker save --output $context/coffer.tar "$image" >&2
        ;;
    podman)
        podman build --quiet --platform $platform --timestamp "$created" --format docker $labels --tag "$image" \
            --file Dockerfile $context >&2
        podman save --quiet --format docker-archive --output $context/coffer.tar "$image" >&2
        ;;
    buildah)
        buildah build --quiet --platform $platform --timestamp "$created" --format docker $labels --tag "$image" \
            --file Dockerfile $context >&2
        buildah push --quiet "$image" "docker-archive:$context/coffer.tar:$image" >&2
        ;;
    *) fail "unknown engine: $engine" ;;
esac
say "$image: $(wc -c <$context/coffer.tar) bytes in $context/coffer.tar"

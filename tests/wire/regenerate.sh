#!/bin/sh
# Writes corpus/ anew: the request texts, and what each grpc-go sends first on a connection.
# The programs are built first, by tools/install.sh. See README.md for what may differ between runs.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bin=$here/../../.tools/bin

"$here/../../tools/install.sh" wire
rm -rf "$here/corpus"
mkdir -p "$here/corpus"
"$bin/corpus" "$here/corpus"
"$bin/olddriver" -capture "$here/corpus/authority-grpc-1.56.3"
"$bin/newdriver" -capture "$here/corpus/authority-grpc-1.79.3"

#!/bin/sh
# Installs sallyport to a folder of its own, builds docs/examples/backend-static against what was installed there, and
# loads the result.
#   run.sh SOURCE_DIR BUILD_DIR LOADER
set -eu
folder=$(mktemp -d "${TMPDIR:-/tmp}/sallyport-example-XXXXXX")
trap 'rm -rf "$folder"' EXIT

cmake --install "$2" --prefix "$folder/prefix" >"$folder/install.log" || { cat "$folder/install.log"; exit 1; }
cmake -S "$1/docs/examples/backend-static" -B "$folder/build" -DSALLYPORT_PREFIX="$folder/prefix" >"$folder/configure.log"
grep -q "SALLYPORT_INCLUDE_DIR:PATH=$folder/prefix/include" "$folder/build/CMakeCache.txt"
cmake --build "$folder/build"
"$3" "$folder/build/static.so"
echo "the example loads and answers"

#!/bin/sh
# Build libproject.so and libproject-stripped.so in the folder $1 from the units beside this script.
set -eu
here=$(dirname "$(readlink -f "$0")")
out=$1
unit() {
    source=$1
    shift
    "${CC:-gcc}" -O3 -fPIC -fno-lto "$@" -c "$here/$source" -o "$out/$source.o"
}
unit contaminating.cpp -mavx2
unit innocent.cpp
unit Kernels.AVX2.cpp -mavx2
unit early.c -mavx
unit resolvers.c -mavx
unit clones.c
unit dispatched.c
unit unguarded.c -mavx2
unit counting.c -mlzcnt -mbmi
unit tables.S
"${CC:-gcc}" -shared -o "$out/libproject.so" "$out/contaminating.cpp.o" "$out/innocent.cpp.o" "$out/Kernels.AVX2.cpp.o" \
    "$out/early.c.o" "$out/resolvers.c.o" "$out/clones.c.o" "$out/dispatched.c.o" "$out/unguarded.c.o" \
    "$out/counting.c.o" "$out/tables.S.o"
strip --strip-unneeded -o "$out/libproject-stripped.so" "$out/libproject.so"

#!/usr/bin/env bash
# Builds everything that DejaVM boots in its tests and benches.
#
#   guests/build.sh                    all four Linux guests and the bare-metal images
#   guests/build.sh amd64 i386         only these Linux guests
#   guests/build.sh bare               only the bare-metal images (demo/, debug/, tests/, cliffs/)
#   guests/build.sh bench              the workloads of benches/engines.py, on top of amd64
#   guests/build.sh bench-arm64        those that are not x86's alone, on top of arm64
#   guests/build.sh --force amd64      build again what is already there
#   guests/build.sh --check bare       fail if a committed image differs from its sources
#
# A Linux guest is a stock Debian kernel and a small initramfs around Debian's
# static busybox. Packages are fetched by name through apt with a configuration
# of its own under guests/cache, so that neither the host's architectures nor
# its package lists change, and no root rights are needed. Results, none of
# them committed, are in guests/build/{amd64,i386,arm64,armhf}/:
#
#   vmlinuz, initrd.img, config, NOTE; but for armhf also vmlinux (the ELF file
#   from inside vmlinuz, with symbols) and System.map, which symbols.py makes
#
# The initramfs is the same bytes whenever the packages are the same bytes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${DEJAVM_GUEST_CACHE:-$here/cache}
build=${DEJAVM_GUEST_BUILD:-$here/build}
force=0
check=0

die() { printf 'guests/build.sh: %s\n' "$*" >&2; exit 2; }
say() { printf 'guests: %s\n' "$*" >&2; }

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || die "'$1' is missing; on Debian: apt-get install $2"
}

kernel_meta() {
    case $1 in
        amd64) echo linux-image-amd64 ;;
        i386) echo linux-image-686-pae ;;
        arm64) echo linux-image-arm64 ;;
        armhf) echo linux-image-armmp ;;
        *) die "unknown guest '$1' (amd64, i386, arm64, armhf, bare, bench or bench-arm64)" ;;
    esac
}

# The host's Debian repositories, one "deb" line each. Backports are left out:
# the guests are the stable release's kernels.
debian_sources() {
    local signed=
    [ -r /usr/share/keyrings/debian-archive-keyring.gpg ] &&
        signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    if [ -n "${DEJAVM_DEBIAN_MIRROR:-}" ]; then
        echo "deb $signed $DEJAVM_DEBIAN_MIRROR ${DEJAVM_DEBIAN_SUITE:-bookworm} main"
        return
    fi
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' 2>/dev/null |
        awk -v s="$signed" '$2 !~ /backports/ && $3 == "main" && !seen[$0]++ { print "deb", s, $1, $2, $3 }'
}

# Writes a private apt configuration for one architecture; prints its path.
apt_config() {
    local arch=$1 root=$cache/apt/$1
    mkdir -p "$root/lists/partial" "$root/archives/partial" "$root/preferences.d" "$root/log"
    : >"$root/status"
    debian_sources >"$root/sources.list"
    [ -s "$root/sources.list" ] || die "no Debian repository is known to apt here;" \
        "run 'apt-get update' first, or set DEJAVM_DEBIAN_MIRROR=URL [DEJAVM_DEBIAN_SUITE=bookworm]"
    cat >"$root/apt.conf" <<CONF
APT::Architecture "$arch";
#clear APT::Architectures;
APT::Architectures { "$arch"; };
APT::Sandbox::User "$(id -un)";
APT::Get::AllowUnauthenticated "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Dir::State "$root";
Dir::State::lists "$root/lists";
Dir::State::status "$root/status";
Dir::Cache "$root";
Dir::Cache::archives "$root/archives";
Dir::Cache::pkgcache "$root/pkgcache.bin";
Dir::Cache::srcpkgcache "$root/srcpkgcache.bin";
Dir::Etc::sourcelist "$root/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "$root/preferences.d";
Dir::Log "$root/log";
CONF
    echo "$root/apt.conf"
}

# Fetches package $2 of architecture $1 into the cache; prints the .deb's path.
fetch() {
    local arch=$1 package=$2 root=$cache/apt/$1 version file
    version=$(APT_CONFIG=$root/apt.conf apt-cache policy "$package" | awk '/Candidate:/ { print $2 }')
    [ -n "$version" ] && [ "$version" != '(none)' ] || die "apt knows no package '$package' for $arch"
    file=$cache/deb/${package}_${version//:/%3a}_$arch.deb
    if [ ! -s "$file" ]; then
        say "$arch: fetching $package $version"
        rm -rf "$cache/deb/partial.$arch"
        mkdir -p "$cache/deb/partial.$arch"
        (cd "$cache/deb/partial.$arch" && APT_CONFIG=$root/apt.conf apt-get -qq download "$package=$version") >&2 ||
            die "apt could not download $package=$version for $arch"
        mv "$cache/deb/partial.$arch"/*.deb "$file"
        rmdir "$cache/deb/partial.$arch"
    fi
    echo "$file"
}

linux_guest() {
    local arch=$1 meta out=$build/$1 real kdeb bdeb tree version
    meta=$(kernel_meta "$arch")
    if [ "$force" = 0 ] && [ -s "$out/vmlinuz" ] && [ -s "$out/initrd.img" ] &&
        [ -z "$(find "$here/initramfs" "$here/build.sh" "$here/symbols.py" -newer "$out/initrd.img" -type f -print -quit)" ]; then
        say "$arch: already built"
        return
    fi
    need apt-get apt
    need apt-cache apt
    need dpkg-deb dpkg
    need python3 python3
    need gzip gzip
    local conf
    conf=$(apt_config "$arch")
    # The lists are good for a day; without a network, old lists and debs do.
    if [ -z "$(find "$cache/apt/$arch/updated" -mmin -1440 2>/dev/null)" ]; then
        say "$arch: reading the package lists"
        # A mirror in the middle of a sync loses one list for a while; the others
        # do, and a list that is missed shows below as a package unknown.
        if APT_CONFIG=$conf apt-get -qq -o Acquire::Retries=3 update >&2; then
            touch "$cache/apt/$arch/updated"
        else
            say "$arch: apt-get update had errors, going on with the lists that there are"
        fi
    fi
    # linux-image-amd64 and its like are empty: the kernel is what they depend on.
    real=$(APT_CONFIG=$conf apt-cache depends --important "$meta" |
        awk '/Depends:/ && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
    [ -n "$real" ] || die "apt knows no kernel behind '$meta' for $arch; is there a network?"
    kdeb=$(fetch "$arch" "$real")
    bdeb=$(fetch "$arch" busybox-static)
    tree=$cache/tree/$arch
    rm -rf "$tree"
    mkdir -p "$tree/kernel" "$tree/busybox" "$out"
    dpkg-deb --fsys-tarfile "$kdeb" | tar -x -C "$tree/kernel" ./boot ./lib/modules
    dpkg-deb --fsys-tarfile "$bdeb" | tar -x -C "$tree/busybox" ./bin/busybox
    version=${real#linux-image-}
    python3 "$here/initramfs/pack.py" --busybox "$tree/busybox/bin/busybox" \
        --modules "$tree/kernel/lib/modules/$version" --wanted "$here/initramfs/modules" \
        --init "$here/initramfs/init" --run "$here/initramfs/run" \
        --release "$version" |
        gzip -9n >"$out/initrd.img.new"
    cp "$tree/kernel/boot/vmlinuz-$version" "$out/vmlinuz"
    cp "$tree/kernel/boot/config-$version" "$out/config"
    # Debian's System.map is a stub that names the package with the real one.
    rm -f "$out/System.map" "$out/vmlinux"
    case $arch in
        amd64 | i386 | arm64) python3 "$here/symbols.py" "$out/vmlinuz" --elf "$out/vmlinux" --map "$out/System.map" ;;
    esac
    {
        echo "kernel:  $(basename "$kdeb")"
        echo "busybox: $(basename "$bdeb")"
        if [ -e "$out/System.map" ]; then
            echo "symbols: in System.map and vmlinux, from the kernel's own table"
        else
            echo "symbols: in the package $real-dbg; the guest's own are in /proc/kallsyms"
        fi
    } >"$out/NOTE"
    mv "$out/initrd.img.new" "$out/initrd.img"
    rm -rf "$tree"
    say "$arch: $version, initrd.img $(wc -c <"$out/initrd.img") bytes"
}

bare_metal() {
    local dir
    for dir in demo debug tests cliffs; do
        [ -x "$here/$dir/build.sh" ] || continue
        if [ "$check" = 1 ]; then
            "$here/$dir/build.sh" --check
        else
            "$here/$dir/build.sh"
        fi
    done
}

# The workloads in C, static, in an archive behind amd64's initramfs.
bench() {
    local out=$build/bench source
    linux_guest amd64
    need gcc gcc
    mkdir -p "$out/bin"
    for source in "$here"/bench/*.c; do
        gcc -O2 -static -march=x86-64 -mfpmath=sse -fno-pie -no-pie -o "$out/bin/$(basename "$source" .c)" \
            "$source" -lm || die "$source: gcc failed (libc6-dev has the static library)"
    done
    python3 "$here/bench/image.py" "$build/amd64/initrd.img" "$out"
    cp "$build/amd64/vmlinuz" "$out/vmlinuz"
    say "bench: initrd.img $(wc -c <"$out/initrd.img") bytes"
}
bench_arm64() {
    local out=$build/bench-arm64 source
    linux_guest arm64
    need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    mkdir -p "$out/bin"
    for source in "$here"/bench/*.c; do
        # rep, sse and x87 are about instructions of x86.
        case ${source##*/} in rep.c | sse.c | x87.c) continue ;; esac
        aarch64-linux-gnu-gcc -O2 -static -o "$out/bin/$(basename "$source" .c)" "$source" -lm \
            || die "$source: aarch64-linux-gnu-gcc failed (libc6-dev-arm64-cross has the static library)"
    done
    python3 "$here/bench/image.py" "$build/arm64/initrd.img" "$out"
    cp "$build/arm64/vmlinuz" "$out/vmlinuz"
    say "bench-arm64: initrd.img $(wc -c <"$out/initrd.img") bytes"
}

targets=()
for arg in "$@"; do
    case $arg in
        --force) force=1 ;;
        --check) check=1 ;;
        -h | --help) sed -n '2,/^set /{s/^# \{0,1\}//;/^set /d;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        -*) die "unknown option '$arg'" ;;
        bare | bench | bench-arm64) targets+=("$arg") ;;
        *) kernel_meta "$arg" >/dev/null; targets+=("$arg") ;;
    esac
done
[ ${#targets[@]} -gt 0 ] || targets=(bare amd64 i386 arm64 armhf)
for target in "${targets[@]}"; do
    case $target in
        bare) bare_metal ;;
        bench) bench ;;
        bench-arm64) bench_arm64 ;;
        *) linux_guest "$target" ;;
    esac
done

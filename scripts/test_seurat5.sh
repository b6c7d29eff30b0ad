#!/usr/bin/env bash
# Run the tests of the R package against Seurat v5, which Debian 12 does not have.
#
#   scripts/test_seurat5.sh [FILTER]
#
# Debian 13 (R 4.5, Seurat 5, reticulate 1.41) is unpacked once into a folder, 1.1 GB, and entered
# by chroot; the Python of this machine runs inside it. Needs root on a Debian machine.
#   SCSYSTEMS_TRIXIE   the folder (default ~/.cache/scsystems/trixie)
#   RETICULATE_PYTHON  the Python (default .venv/bin/python)
#   DEBIAN_MIRROR      where Debian comes from (default http://deb.debian.org/debian)
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=${SCSYSTEMS_TRIXIE:-$HOME/.cache/scsystems/trixie}
python=${RETICULATE_PYTHON:-$root/.venv/bin/python}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=r-base-core,r-cran-seurat,r-cran-reticulate,r-bioc-singlecellexperiment,r-cran-testthat
packages+=,r-cran-knitr,r-cran-rmarkdown,libopenblas0-pthread,libffi8,libsqlite3-0,libreadline8t64

fail() { echo "$1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "chroot and mounts need root: run this script as root."
[ -x "$python" ] || fail "No Python at $python: run 'make setup', or set RETICULATE_PYTHON."
command -v unshare >/dev/null || fail "unshare is missing: apt-get install util-linux"

if [ ! -d "$target" ]; then
  command -v mmdebstrap >/dev/null || apt-get install -y --no-install-recommends mmdebstrap >&2
  mkdir -p "$(dirname "$target")"
  echo "Unpacking Debian 13 with Seurat v5 into $target (a few minutes)" >&2
  # Only a complete one gets the name
  mmdebstrap --quiet --variant=apt --include="$packages" trixie "$target.partial" "$mirror"
  mv "$target.partial" "$target"
fi

# What a Python needs to run: its environment, and the installation that this was made from.
read -r -d '' list <<'PY' || true
import os, sys, sysconfig
paths = {sys.prefix}
if sys.base_prefix == "/usr":  # Debian's own: never the whole of /usr
    lib = os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
    multiarch = os.path.join("/usr/lib", sysconfig.get_config_var("MULTIARCH") or "", os.path.basename(lib))
    paths |= {os.path.realpath(sys.executable), sysconfig.get_path("stdlib"), lib, multiarch}
else:
    paths.add(sys.base_prefix)
# packages that the environment borrows from another
paths |= {p for p in sys.path if p.endswith("site-packages") and not p.startswith(sys.prefix)}
print("\n".join(sorted(p for p in paths if os.path.exists(p) and not os.path.isdir(os.path.join(p, "proc")))))
PY
mapfile -t shared < <("$python" -c "$list")

cat >"$target/tmp/inside.sh" <<'INSIDE'
cd /tmp
R CMD INSTALL --no-docs --no-byte-compile --library=/opt/rlib "$root/rpkg" >/tmp/install.log 2>&1 ||
  { cat /tmp/install.log >&2; exit 1; }
exec Rscript "$root/tests/r/run.R" ${filter:+"$filter"}
INSIDE

export target root python filter="${1:-}"
printf '%s\n' "${shared[@]}" "$root" >"$target/tmp/shared"

# The mounts live and die with this process: nothing stays behind, nothing of ours is in the folder
exec unshare --mount --propagation private bash -euo pipefail -c '
  attach() {
    if [ -d "$1" ]; then mkdir -p "$target$1"; else mkdir -p "$target$(dirname "$1")"; touch "$target$1"; fi
    mount --rbind "$1" "$target$1"
  }
  for path in /proc /dev /sys; do attach "$path"; done
  while read -r path; do attach "$path"; done <"$target/tmp/shared"
  mkdir -p "$target/opt/rlib"
  exec chroot "$target" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8 \
    R_LIBS=/opt/rlib RETICULATE_PYTHON="$python" PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OMP_WAIT_POLICY=passive \
    root="$root" filter="$filter" bash -euo pipefail /tmp/inside.sh
'

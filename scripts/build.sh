#!/usr/bin/env bash
# Build what a release consists of into build/dist/ (wheel, sdist, R package), check it, and install
# wheel and sdist into an empty environment each, where the command line must run the demo.
#   --light   what the package builds on (torch and the like, gigabytes) is lent by .venv/
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
dist=$PWD/build/dist
rm -rf "$dist" && mkdir -p "$dist"
"$python" scripts/release.py
"$python" -m build --outdir "$dist"
"$python" -m venv build/twine
build/twine/bin/python -m pip install --quiet --disable-pip-version-check twine
build/twine/bin/python -m twine check --strict "$dist"/*.whl "$dist"/*.tar.gz
(cd "$dist" && R CMD build --no-build-vignettes ../../rpkg)
packages() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
for file in "$dist"/scsystems-*; do
  "$python" -m venv --clear "$empty/venv"
  needs=()
  if [ "${1:-}" = "--light" ]; then
    packages "$python" >"$(packages "$empty/venv/bin/python")/lent.pth"
    needs=(--no-deps --ignore-installed)
  fi
  "$empty/venv/bin/pip" install --quiet --disable-pip-version-check "${needs[@]}" "$file"
  (
    cd "$empty"
    venv/bin/python -c 'import scsystems, sys; sys.exit(not scsystems.__file__.startswith(sys.prefix))'
    venv/bin/scsystems --version
    venv/bin/scsystems demo demo --epochs 2 --quiet --overwrite
  )
done
ls -l "$dist"

#!/usr/bin/env bash
# Build what a release consists of into build/dist/ (wheel, sdist, R package), check it, and install
# wheel and sdist into an empty environment each, where the command line must run the demo.
#   --no-demo   install and import only
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
dist=$PWD/build/dist
rm -rf "$dist" && mkdir -p "$dist"
"$python" scripts/release.py
"$python" -m build --outdir "$dist"
"$python" -m pip install --quiet --disable-pip-version-check --target "$PWD/build/twine" --upgrade twine
PYTHONPATH="$PWD/build/twine" "$python" -m twine check --strict "$dist"/*.whl "$dist"/*.tar.gz
(cd "$dist" && R CMD build --no-build-vignettes ../../rpkg)
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
for file in "$dist"/scsystems-*; do
  "$python" -m venv --clear "$empty/venv"
  "$empty/venv/bin/pip" install --quiet --disable-pip-version-check "$file"
  (
    cd "$empty"
    venv/bin/scsystems --version
    if [ "${1:-}" != "--no-demo" ]; then venv/bin/scsystems demo demo --epochs 2 --quiet --overwrite; fi
  )
done
ls -l "$dist"

#!/usr/bin/env bash
# What has to hold before a release: sdist and wheel are built, the wheel traces the demo from an empty
# environment, its parts list (SBOM) is written, and no known vulnerability is among them.
#
#     make release-check                 results in dist/
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

say "the version stands in the changelog"
version=$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
grep -qF "[$version]" CHANGELOG.md || grep -qF '[Unreleased]' CHANGELOG.md || { echo "CHANGELOG.md has no section for $version" >&2; exit 1; }
[ -z "$(git status --porcelain)" ] || { echo "there are changes that are not committed" >&2; exit 1; }

say "sdist and wheel"
"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install -q build twine pip-audit cyclonedx-bom
rm -rf dist
git clone -q . "$work/source"
(cd "$work/source" && "$work/tools/bin/python" -m build -o "$OLDPWD/dist" >"$work/log") || { tail -40 "$work/log"; exit 1; }
"$work/tools/bin/twine" check --strict dist/*
ls -l dist

say "the wheel in an empty environment"
"$python" -m venv "$work/empty"
"$work/empty/bin/pip" install -q "$(ls dist/*.whl)[server]"
(cd "$work" && empty/bin/dineuro models --verify && empty/bin/dineuro demo demo)
test -s "$work/demo/neuron_dineuro.swc"

say "the thin client in an empty environment"
"$python" -m venv "$work/thin"
"$work/thin/bin/pip" install -q dist/*.whl
"$work/thin/bin/dineuro" info "$work/demo/neuron.tif"

say "the list of its parts"
"$work/empty/bin/pip" uninstall -qy pip
"$work/tools/bin/cyclonedx-py" environment --output-reproducible --of JSON -o "dist/dineuro-$version.sbom.json" \
    --pyproject pyproject.toml "$work/empty/bin/python"
"$work/tools/bin/python" -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["components"]), "components")' "dist/dineuro-$version.sbom.json"

say "known vulnerabilities"
# It calls what it could not ask about harmless: only this project itself may be unknown.
"$work/tools/bin/pip-audit" --path "$work"/empty/lib/python*/site-packages --skip-editable \
    --progress-spinner off --format json --output dist/audit.json >"$work/log" 2>&1 || tail -n 20 "$work/log" >&2
"$work/tools/bin/python" - dist/audit.json <<'PYTHON'
import json, os, sys

parts = json.load(open(sys.argv[1]))["dependencies"]
bad = [f"{p['name']} {p['version']}: {v['id']}" for p in parts for v in p.get("vulns", ())]
skipped = [p["name"] for p in parts if "skip_reason" in p]
unknown = [name for name in skipped if name != "dineuro"]
print(f"{len(parts) - len(skipped)} asked about, {len(unknown)} could not be (no way to the advisories?)")
print("\n".join(bad) or "none known")
sys.exit(bool(bad) or bool(unknown and not os.environ.get("OFFLINE")))
PYTHON
say "done"

# `make demo` traces a neuron; `make test` runs every check. Both make the environment first.
# `make plugin` builds Vaa3D's plugin, `make test-plugin` tests it (needs the packages in
# vaa3d_bridge/plugin/README.md).
PYTHON ?= python3
BIN := .venv/bin
# Several tests at a time, each on one core: the small networks and volumes of tests gain nothing by more.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4
STAMP := .venv/.installed

PLUGIN := vaa3d_bridge/plugin
# The Qt versions to build the plugin for; VAA3D_ROOT=... builds against that Vaa3D's headers.
QT ?= 5 6
VAA3D_ROOT ?=

# The development data, for `make benchmark`.
DATA ?= ../shared/data

# The checks that need nothing but Python; lint-web needs Node.
LINT := lint-python lint-cpp lint-prose

.PHONY: demo test fast lint $(LINT) lint-web types format install clean plugin plugin-package \
  test-plugin test-napari throughput options web test-web benchmark dependencies release-check

install: $(STAMP)

# The stamp is written last: an install that was interrupted is done again.
$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "DINeuro needs Python 3.11 or newer; say make PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/dineuro demo demo

# The plugin's tests need its builds: `make test-plugin` makes and runs them.
test: $(LINT) types
	$(PYTEST) --ignore=tests/plugin

plugin: $(foreach qt,$(QT),plugin-qt$(qt))

# Without VAA3D_ROOT for the tests: nothing is timed there, and unoptimised it compiles in half the
# time. The branch with Qt 5 has the plain table of functions alone, so both are built for Qt 6.
TABLES_6 := dineuro_master host_master

plugin-qt%:
	cmake -S $(PLUGIN) -B build/$@ -DDINEURO_QT=$* -DDINEURO_TESTS=$(if $(VAA3D_ROOT),OFF,ON) \
	  -DDINEURO_WERROR=ON -DCMAKE_UNITY_BUILD=ON -DVAA3D_ROOT=$(VAA3D_ROOT) \
	  $(if $(VAA3D_ROOT),-DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS=,-DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O0)
	cmake --build build/$@ --parallel --target dineuro \
	  $(if $(VAA3D_ROOT),,host_plain plugin_tests $(TABLES_$*))

# The client's benchmark, without Qt.
throughput:
	cmake -S $(PLUGIN) -B build/$@ -DDINEURO_QT= -DDINEURO_TESTS=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
	cmake --build build/$@ --parallel --target throughput

# One archive for each Qt, for the Vaa3D whose sources are VAA3D_ROOT: dist/. It has the licence and
# the library in the folder plugins, which is copied over that of Vaa3D.
plugin-package: $(foreach qt,$(QT),package-qt$(qt))

package-qt%:
	@test -n "$(VAA3D_ROOT)" || { echo "VAA3D_ROOT=... is missing: no Vaa3D can load a plugin without its headers" >&2; exit 2; }
	cmake -S $(PLUGIN) -B build/$@ -DDINEURO_QT=$* -DVAA3D_ROOT=$(abspath $(VAA3D_ROOT)) \
	  -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON
	cmake --build build/$@ --parallel
	build/$@/vaa3d/load_plugin build/$@/vaa3d/libdineuro_vaa3d_qt$*.so
	rm -rf build/$@/archive && mkdir -p build/$@/archive/plugins/DINeuro dist
	cp build/$@/vaa3d/libdineuro_vaa3d_qt$*.so build/$@/archive/plugins/DINeuro
	strip --strip-unneeded build/$@/archive/plugins/DINeuro/*.so
	cp LICENSE $(PLUGIN)/README.md build/$@/archive
	tar -czf dist/dineuro-vaa3d-linux-$$(uname -m)-qt$*.tar.gz -C build/$@/archive LICENSE README.md plugins

# The plugin in a host that stands in for Vaa3D, against the real server. The last Qt is built under
# sanitizers, and there the client's tests and a million random inputs run too.
SANITIZED := $(lastword $(QT))
PLAIN := $(addprefix plugin-qt,$(filter-out $(SANITIZED),$(QT)))

test-plugin: $(STAMP) $(PLAIN)
	cmake -S $(PLUGIN) -B build/sanitized -DDINEURO_QT=$(SANITIZED) -DDINEURO_TESTS=ON \
	  -DDINEURO_WERROR=ON -DCMAKE_UNITY_BUILD=ON -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS='-O1 -g1' \
	  -DDINEURO_SANITIZE=address,undefined
	cmake --build build/sanitized --parallel --target dineuro host_plain client_tests fuzz \
	  plugin_tests $(TABLES_$(SANITIZED))
	ctest --test-dir build/sanitized --parallel 2 --output-on-failure
	for build in $(PLAIN); do build/$$build/tests/plugin_tests || exit 1; done
	DINEURO_PLUGIN_BUILDS='$(PLAIN) sanitized' $(PYTEST) tests/plugin

# The plugin for napari, in a virtual display. Its environment adds napari and a binding of Qt to the
# other one, and holds nothing twice. Plugins of pytest that napari brings are not used.
NAPARI := build/napari
NAPARI_STAMP := $(NAPARI)/.installed

test-napari: $(NAPARI_STAMP)
	OMP_NUM_THREADS=1 QT_QPA_PLATFORM=xcb xvfb-run --auto-servernum \
	  --server-args='-screen 0 1280x1024x24' $(NAPARI)/bin/python -m pytest -p no:napari \
	  -p no:napari-plugin-engine -p no:npe2 $(addprefix tests/napari/test_,widget.py manifest.py canvas.py)

$(NAPARI_STAMP): $(STAMP)
	$(PYTHON) -m venv $(NAPARI)
	echo "import site; site.addsitedir('$$(realpath .venv/lib/python3*/site-packages)')" > \
	  "$$($(NAPARI)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dineuro.pth"
	$(NAPARI)/bin/python -m pip install --quiet --no-compile 'napari>=0.6' PySide6-Essentials pytest-qt
	touch $@

# The table of the options of a trace, for the page and the plugin's test.
options: $(STAMP)
	$(BIN)/python -m dineuro_bridge.options > server/web/src/options.json

# The page at /: what is built comes with the package, so that nobody needs Node to install it.
web: server/web/node_modules/.installed
	cd server/web && npm run build

server/web/node_modules/.installed: server/web/package-lock.json
	cd server/web && npm ci --no-audit --no-fund
	touch $@

# Headless Chromium before the real server; and what is committed must be what the sources make.
test-web: $(STAMP) lint-web web
	git diff --exit-code --stat server/dineuro_server/doors/web
	cd server/web && npm test

# The pinned versions and hashes of the images, and the table of licences: those of this environment.
dependencies: $(STAMP)
	$(BIN)/python -m release.dependencies

# What one runs while working: everything but the slow tests.
fast: $(LINT) types
	$(PYTEST) --ignore=tests/plugin -m 'not slow'

# Every benchmark, and one page of them: build/benchmark/README.md. Hours on a small machine; what an
# interrupted run has measured is kept. kimimaro, a peer, is under the GPL and comes for this alone.
benchmark: $(STAMP) throughput web
	$(BIN)/python -m pip install --quiet kimimaro
	$(BIN)/python -m benchmarks.page $(if $(wildcard $(DATA)),--data $(DATA))

# sdist, wheel, the demo from the wheel, the list of parts, known vulnerabilities: dist/. OFFLINE=1 if
# the advisories cannot be asked.
release-check:
	PYTHON=$(PYTHON) release/check.sh

lint: $(LINT) lint-web

lint-python: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-cpp: $(STAMP)
	git ls-files '*.cpp' '*.h' | xargs $(BIN)/clang-format --dry-run --Werror

# The Markdown pages: columns, one sentence a line, banned phrases.
lint-prose: $(STAMP)
	$(BIN)/python -m release.prose

lint-web: server/web/node_modules/.installed
	cd server/web && npm run --silent lint

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP) server/web/node_modules/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	git ls-files '*.cpp' '*.h' | xargs $(BIN)/clang-format -i
	cd server/web && npm run --silent format

clean:
	rm -rf .venv build dist demo *.egg-info

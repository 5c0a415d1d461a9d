# make attention: install what is missing, build, run the attention example.
# make test:      install what is missing, build, run every test.
# Both can be repeated: what did not change is skipped.
python := .venv/bin/python

.PHONY: attention bench bench-tiles build module test asan tsan fuzz lint clean

attention: module
	@.ci/setup peers
	@$(python) apps/attention/attention_example.py

bench: module
	@.ci/setup peers
	@$(python) apps/attention/bench.py

bench-tiles: packages
	@.ci/setup python build
	@.ci/setup peers
	@.ci/setup build release bench_tiles
	@$(python) apps/tiles/bench.py

# All that Python users need.
module: packages
	@.ci/setup python build
	@.ci/setup build release _pto_wsp

build: packages
	@.ci/setup python build
	@.ci/setup build release

test: tools
	@.ci/setup build release
	@.ci/check release

# Every test under AddressSanitizer and UndefinedBehaviorSanitizer.
asan: tools
	@.ci/setup build asan-ubsan
	@.ci/check asan-ubsan

# Every C++ test under ThreadSanitizer.
tsan: tools
	@.ci/setup build tsan
	@.ci/check tsan

# Random texts for every reader of texts, SECONDS each: make fuzz SECONDS=600 READERS=tile_program
SECONDS ?= 60
READERS ?= tile_program workload json scalar_expr affine schedule
fuzz: tools
	@.ci/setup debian fuzz
	@.ci/setup build fuzz fuzz_readers
	@.ci/fuzz $(SECONDS) $(READERS)

lint: tools
	@.ci/setup debian lint
	@.ci/lint $(SINCE)

.PHONY: packages tools
packages:
	@.ci/setup debian build test
tools: packages
	@.ci/setup python build test

clean:
	rm -rf build

# make attention: install what is missing, build, run the attention example.
# make test:      install what is missing, build, run every test.
# Both can be repeated: what did not change is skipped.
python := .venv/bin/python

.PHONY: attention test build bench asan tsan lint clean

attention: build
	@.ci/setup peers
	@$(python) apps/attention/attention_example.py

test:
	@.ci/setup debian build test
	@.ci/setup python build test
	@.ci/setup build release
	@.ci/check release

build:
	@.ci/setup debian build test
	@.ci/setup python build
	@.ci/setup build release

bench: build
	@.ci/setup peers
	@$(python) apps/attention/bench.py

# Every test under AddressSanitizer and UndefinedBehaviorSanitizer.
asan:
	@.ci/setup debian build test
	@.ci/setup python build test
	@.ci/setup build asan-ubsan
	@.ci/check asan-ubsan

# The tests of the runtime, its users included, under ThreadSanitizer.
tsan:
	@.ci/setup debian build test
	@.ci/setup python build test
	@.ci/setup build tsan
	@.ci/check tsan

lint:
	@.ci/setup debian build test lint
	@.ci/setup python build test
	@.ci/lint

clean:
	rm -rf build

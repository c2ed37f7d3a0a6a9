"""The PyPI package ``opa-wasmtime``, for policy_speed.py; runs under an interpreter that has it.

usage: python policy_wasmtime_sdk.py POLICY.wasm DATA.json INPUTS.json ENTRYPOINT SECONDS
"""

import json
import statistics
import sys
import time

from opa_wasmtime import OPAPolicy

wasm, data, inputs, entrypoint, seconds = sys.argv[1:]
policy = OPAPolicy(wasm)
with open(data) as file:
    policy.set_data(json.load(file))
with open(inputs) as file:
    questions = json.load(file)
number = policy.entrypoints[entrypoint]

decided = [policy.evaluate(question, number) for question in questions]
allowed = sum(bool(found) and found[0]["result"] is True for found in decided)
cpu, singles = [], []
end = time.monotonic() + float(seconds)
while time.monotonic() < end or len(cpu) < 3:
    started = time.thread_time()
    for question in questions:
        before = time.perf_counter_ns()
        policy.evaluate(question, number)
        singles.append((time.perf_counter_ns() - before) / 1000)
    cpu.append((time.thread_time() - started) * 1e6 / len(questions))
singles.sort()
p99 = singles[len(singles) * 99 // 100]
print(json.dumps({
    "cpu_us": statistics.median(cpu), "wall_us": statistics.median(singles), "p99_us": p99,
    "allowed": allowed,
}))  # fmt: skip

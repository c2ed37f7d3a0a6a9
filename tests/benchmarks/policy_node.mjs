// The npm package @open-policy-agent/opa-wasm on Node, for policy_speed.py.
// usage: node policy_node.mjs PACKAGE_DIR POLICY.wasm DATA.json INPUTS.json ENTRYPOINT SECONDS
// Prints one line of JSON: CPU and wall microseconds a decision, p99, and how many were allowed.
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const [folder, wasm, data, inputs, entrypoint, seconds] = process.argv.slice(2);
const main = path.join(folder, "node_modules/@open-policy-agent/opa-wasm/src/index.cjs");
const opa = (await import(pathToFileURL(main))).default;
const policy = await opa.loadPolicy(fs.readFileSync(wasm));
policy.setData(JSON.parse(fs.readFileSync(data)));
const questions = JSON.parse(fs.readFileSync(inputs));
const number = policy.entrypoints[entrypoint];

let allowed = 0;
for (const question of questions) {
  if (policy.evaluate(question, number)[0]?.result === true) allowed++;
}
const round = () => {
  for (const question of questions) policy.evaluate(question, number);
};
const warm = Date.now() + 1000;
while (Date.now() < warm) round();

// The median of rounds, so that a busy machine moves it less.
const cpu = [], wall = [], singles = [];
const end = Date.now() + 1000 * Number(seconds);
while (Date.now() < end || cpu.length < 7) {
  const before = process.cpuUsage(), started = process.hrtime.bigint();
  const times = 50;
  for (let n = 0; n < times; n++) round();
  const used = process.cpuUsage(before);
  cpu.push((used.user + used.system) / times / questions.length);
  wall.push(Number(process.hrtime.bigint() - started) / 1000 / times / questions.length);
}
for (let n = 0; n < 20000; n++) {
  const started = process.hrtime.bigint();
  policy.evaluate(questions[n % questions.length], number);
  singles.push(Number(process.hrtime.bigint() - started) / 1000);
}
const middle = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
singles.sort((a, b) => a - b);
const p99 = singles[Math.floor(singles.length * 0.99)];
console.log(JSON.stringify({ cpu_us: middle(cpu), wall_us: middle(wall), p99_us: p99, allowed }));

// Evaluates calls against policies: reads a list of simulations, writes what becomes of each.
// Usage: node simulator.mjs <node_modules> <simulations.json> <results.json>
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, asked, answered] = process.argv.slice(2);
const { runSimulation } = createRequire(`${modules}/`)("@cloud-copilot/iam-simulate");

const results = [];
for (const simulation of JSON.parse(readFileSync(asked, "utf8"))) {
  const found = await runSimulation(simulation, { simulationMode: "Strict" });
  results.push(found.resultType === "error" ? `error: ${JSON.stringify(found.errors)}` : found.overallResult);
}
writeFileSync(answered, JSON.stringify(results));

// SPDX-License-Identifier: MIT
// An MCP server that does not leave: not at the end of its input, and not for a signal that can be
// ignored. Nor does a child of its own.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

for (const signal of ["SIGHUP", "SIGINT", "SIGTERM", "SIGPIPE"])
    process.on(signal, () => {});
process.stdout.on("error", () => {});
setInterval(() => {}, 1000);
spawn("sh", ["-c", "trap '' HUP INT TERM; while :; do sleep 1; done"], { stdio: "ignore" });

const answers = {
    initialize: (params) => ({
        protocolVersion: params.protocolVersion,
        capabilities: { tools: {} },
        serverInfo: { name: "stubborn", version: "1" },
    }),
    "tools/list": () => ({ tools: [] }),
    "tools/call": () => ({ content: [{ type: "text", text: "no" }] }),
};

createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, method, params } = JSON.parse(line);
    if (id !== undefined)
        console.log(JSON.stringify({ jsonrpc: "2.0", id, result: answers[method]?.(params) ?? {} }));
});

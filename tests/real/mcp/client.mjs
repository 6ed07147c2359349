// SPDX-License-Identifier: MIT
// A client of an MCP server, made with the protocol's own SDK:
//
//     client.mjs record COMMAND [ARGUMENT...]   converse; print all that was seen, as JSON
//     client.mjs wait COMMAND [ARGUMENT...]     connect, call a tool, say "ready", and stay
//     client.mjs close COMMAND [ARGUMENT...]    connect, and close at once
//
// It is copied beside the packages that it imports: see ../mcp.sh.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import {
    CreateMessageRequestSchema,
    ListRootsRequestSchema,
    LoggingMessageNotificationSchema,
    ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

const [task, command, ...args] = process.argv.slice(2);
const LONG = "ä\u0000 \"\\ \u2028".repeat(100000);

const transport = new StdioClientTransport({
    command,
    args,
    stderr: "pipe",
    // The rest of the environment is what the SDK lets a server have.
    env: { DUPLEX_TEST_MARK: process.env.DUPLEX_TEST_MARK ?? "" },
});
const client = new Client(
    { name: "duplex-tests", version: "1" },
    { capabilities: { sampling: {}, roots: { listChanged: true } } },
);

// Each message of the server, before the SDK makes something of it, and whatever it complains of.
const heard = [];
let complaints = "";
let closed = false;
const errors = [];
transport.stderr.on("data", (data) => (complaints += data));
client.onclose = () => (closed = true);
// The SDK forgets who waits for progress as soon as the answer is there, which may come in the same
// piece as the last step: whether it complains is chance. The steps are in what was heard.
client.onerror = (error) =>
    /progress notification for an unknown token/.test(error) || errors.push(String(error));

const listChanged = new Promise((resolve) =>
    client.setNotificationHandler(ToolListChangedNotificationSchema, resolve),
);
const rootsTakenNoteOf = new Promise((resolve) =>
    client.setNotificationHandler(LoggingMessageNotificationSchema, resolve),
);
client.setRequestHandler(ListRootsRequestSchema, () => ({
    roots: [{ uri: "file:///tmp", name: "here" }],
}));
client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => ({
    role: "assistant",
    model: "none",
    content: { type: "text", text: `you said: ${params.messages[0].content.text}` },
}));

async function connect() {
    const connected = client.connect(transport);
    const deliver = transport.onmessage;
    transport.onmessage = (message) => {
        heard.push(message);
        deliver(message);
    };
    await connected;
}

const call = (name, args, options) =>
    client.callTool({ name, arguments: args }, undefined, options);

async function record() {
    const results = {};
    const progress = [];

    await connect();
    await listChanged;
    // The server asks us too: what roots there are, by itself, and for a sample when it is called.
    // From here on it speaks only when it is spoken to, so that each run is the same.
    await rootsTakenNoteOf;
    results.capabilities = client.getServerCapabilities();
    results.version = client.getServerVersion();
    results.instructions = client.getInstructions();
    results.tools = (await client.listTools()).tools;
    results.prompts = (await client.listPrompts()).prompts;
    results.resources = (await client.listResources()).resources;
    results.ping = await client.ping();
    results.echo = await call("echo", { message: "i am your father" });
    results.sum = await call("get-sum", { a: 2, b: 3 });
    results.environment = await call("get-env", {});
    results.image = await call("get-tiny-image", {});
    results.sample = await call("trigger-sampling-request", { prompt: "who are you?", maxTokens: 10 });
    results.steps = await call(
        "trigger-long-running-operation",
        { duration: 0.3, steps: 3 },
        { onprogress: (step) => progress.push(step) },
    );
    results.progress = progress.length > 0;
    results.refused = await call("no such tool", {}).catch(String);
    // A message longer than all that lies between, each way.
    results.long = (await call("echo", { message: LONG })).content[0].text === `Echo: ${LONG}`;
    // Many at once.
    results.sums = await Promise.all(
        Array.from({ length: 100 }, (_, i) => call("get-sum", { a: i, b: i })),
    );
    const from = Date.now();
    await client.close();
    results.closedInTime = Date.now() - from < 2000;
    console.log(JSON.stringify({ results, heard, complaints, errors, closed }, null, 1));
}

async function wait() {
    await connect();
    await call("echo", { message: "are you there?" });
    console.log("ready");
    setInterval(() => {}, 1000);
}

async function close() {
    await connect();
    await client.close();
    console.log("closed");
}

await { record, wait, close }[task]();

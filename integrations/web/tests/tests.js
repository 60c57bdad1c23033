// What the package computes in this browser, compared with f64. run.mjs reads `window.report`.

import * as losses from "../package/dist/index.js";
import * as truth from "./truth.js";

const { bind, crossEntropy, defaultDevice } = losses;
const { close, noise, throws } = truth;

const tests = {};
const report = { lines: [], failed: 0, done: false };
window.report = report;

// --- Host data -----------------------------------------------------------------------------------

for (const [images, classes, positions] of [[64, 10, 1], [3, 1000, 1], [2, 21, 35], [1, 30_001, 2]]) {
    const shape = positions === 1 ? [images, classes] : [images, classes, positions];
    const rows = images * positions;
    const logits = noise(images * classes * positions, 1);
    for (const Labels of [Uint8Array, Int16Array, Int32Array, Uint32Array, BigInt64Array]) {
        const ignored = Labels === Uint8Array ? 255 : 5;
        const label = (row) => (row % 7 === 3 ? ignored : (row * row) % Math.min(classes, 255));
        const number = Labels === BigInt64Array ? BigInt : Number;
        const labels = Labels.from({ length: rows }, (_, row) => number(label(row)));
        tests[`cross-entropy of [${shape}], ${Labels.name}`] = async () => {
            const wanted = truth.crossEntropy(logits, labels, [images, classes, positions], ignored);
            const options = { ignoreIndex: ignored, outputs: ["grad", "argmax", "accuracy"] };
            const { loss, grad, argmax, summary } = await crossEntropy({ data: logits, shape }, labels, options);
            close("loss", loss, wanted.loss);
            close("gradient", grad, wanted.grad, 6e-6);
            if (argmax.length !== rows || summary.rows !== rows) throw new Error(`${rows} rows, ${JSON.stringify(summary)}`);
            if (summary.ignored !== labels.filter((label) => Number(label) === ignored).length) throw new Error("ignored");
            const none = await crossEntropy({ data: logits, shape }, labels, { ignoreIndex: ignored, reduction: "none" });
            close("losses", none.loss, wanted.losses, 4e-6);
        };
    }
}

const x = { data: noise(24 * 12, 2), shape: [24, 12] };
const unit = (seed) => ({ data: noise(24 * 12, seed).map((x) => (x + 3.1) / 6.2), shape: [24, 12] });
const labels = Int32Array.from({ length: 24 }, (_, row) => (row * 5) % 12);
const logs = { data: x.data.map((x) => x - 4), shape: [24, 12] };
const variance = { data: noise(24, 9).map((x) => Math.abs(x) + 0.1), shape: [24, 1] };
const ofClasses = noise(12, 5).map((x) => Math.abs(x));
const everything = ["grad", "logProbs", "lse", "argmax", "rank", "entropy", "variance", "rowWeights", "accuracy", "classLosses"];
const calls = {
    "every output": ["crossEntropy", x, labels, { weight: ofClasses, outputs: everything, topK: 3, labelSmoothing: 0.1, softcap: 20, zLoss: 1e-3, logitScale: 0.9 }],
    "row weights": ["crossEntropy", x, labels, { rowWeights: noise(24, 6).map(Math.abs), reduction: "sum", outputs: ["grad"] }],
    "class probabilities": ["crossEntropy", x, unit(3), { outputs: ["grad"] }],
    "an axis": ["crossEntropy", x, Uint16Array.from({ length: 12 }, (_, row) => row), { axis: 0, outputs: ["grad"] }],
    "upstream of rows": ["crossEntropy", x, labels, { reduction: "none", upstream: noise(24, 7), outputs: ["grad"] }],
    "upstream": ["crossEntropy", x, labels, { upstream: [3], outputs: ["grad"] }],
    nllLoss: ["nllLoss", logs, labels, { outputs: ["grad", "classLosses"] }],
    entropy: ["entropy", x, { outputs: ["grad", "lse"] }],
    binaryCrossEntropy: ["binaryCrossEntropy", unit(3), unit(4), { weight: unit(5), outputs: ["grad"] }],
    binaryCrossEntropyWithLogits: ["binaryCrossEntropyWithLogits", x, unit(4), { posWeight: { data: ofClasses, shape: [12] }, outputs: ["grad"] }],
    "elements": ["binaryCrossEntropyWithLogits", x, unit(4), { reduction: "none", outputs: ["grad"] }],
    klDiv: ["klDiv", logs, unit(4), { reduction: "batchmean", outputs: ["grad", "targetGrad"] }],
    gaussianNllLoss: ["gaussianNllLoss", x, unit(4), variance, { full: true, outputs: ["grad", "targetGrad", "varGrad"] }],
    poissonNllLoss: ["poissonNllLoss", x, unit(4), { full: true, outputs: ["grad"] }],
    softmax: ["softmax", x],
    logSoftmax: ["logSoftmax", x, { axis: 0 }],
    softmaxGrad: ["softmaxGrad", x, noise(24 * 12, 8)],
    logSoftmaxGrad: ["logSoftmaxGrad", x, noise(24 * 12, 8)],
    "numbers in an array": ["crossEntropy", { data: [2, 0, 0, 0, 3, 0], shape: [2, 3] }, [0, 1]],
    "no classes": ["crossEntropy", { data: [], shape: [2, 0] }, [7, 7], { ignoreIndex: 7, emptyMean: "zero", outputs: ["classLosses"] }],
    "no rows": ["crossEntropy", { data: [], shape: [0, 3] }, [], { emptyMean: "zero", outputs: ["grad"] }],
};

/** Compares numbers and typed arrays, and what they hold. */
function same(path, got, wanted) {
    if (wanted === undefined || wanted === null) return;
    if (typeof wanted === "number" || wanted instanceof Float32Array) return close(path, got, wanted, 1e-5);
    if (typeof wanted !== "object") throw new Error(`${path} is a ${typeof wanted}`);
    if (String(Object.keys(got)) !== String(Object.keys(wanted))) throw new Error(`${path} has ${Object.keys(got)}, expected ${Object.keys(wanted)}`);
    for (const name of Object.keys(wanted)) same(`${path}.${name}`, got[name], wanted[name]);
}

/** Returns the arguments of a call with options added. */
function withOptions([, ...given], more) {
    const last = given.at(-1);
    const plain = last.constructor === Object && !("data" in last);
    return plain ? [...given.slice(0, -1), { ...last, ...more }] : [...given, more];
}

for (const [name, given] of Object.entries(calls)) {
    tests[`on the device as on the processor: ${name}`] = async () => {
        const call = losses[given[0]];
        same(given[0], await call(...withOptions(given, {})), await call(...withOptions(given, { device: "cpu" })));
    };
}

tests["f16 and bf16"] = async () => {
    // 1, 2, -0.5 and 0 in either.
    for (const [type, bits] of [["f16", [0x3c00, 0x4000, 0xb800, 0]], ["bf16", [0x3f80, 0x4000, 0xbf00, 0]]]) {
        const input = { data: Uint16Array.from(bits), shape: [1, 4], type };
        const { loss, grad } = await crossEntropy(input, [1], { outputs: ["grad"] });
        const wanted = truth.crossEntropy(Float32Array.of(1, 2, -0.5, 0), [1], [1, 4, 1], -100);
        close(type, loss, wanted.loss);
        close(`${type} gradient`, grad, wanted.grad);
    }
};

tests["a confident row's loss"] = async () => {
    const { loss } = await crossEntropy({ data: [28, 0], shape: [1, 2] }, [0]);
    close("loss", loss, Math.log1p(Math.exp(-28)));
};

// --- The page's own device and buffers -------------------------------------------------------------

const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;

async function ownDevice() {
    const adapter = await navigator.gpu.requestAdapter();
    const device = await adapter.requestDevice();
    device.onuncapturederror = ({ error }) => { report.lines.push(`an uncaptured error: ${error.message}`); };
    return device;
}

function upload(device, data, { offset = 0, size = data.byteLength } = {}) {
    const buffer = device.createBuffer({ size: Math.ceil((offset + size) / 4) * 4, usage: STORAGE | COPY_SRC | COPY_DST });
    device.queue.writeBuffer(buffer, offset, data);
    return buffer;
}

async function download(device, { data, offset, shape }) {
    const size = 4 * shape.reduce((product, extent) => product * extent, 1);
    const staging = device.createBuffer({ size, usage: MAP_READ | COPY_DST });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(data, offset, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    return new Float32Array(staging.getMappedRange().slice(0));
}

const logits = noise(64 * 10, 1);
const ofRows = Uint32Array.from({ length: 64 }, (_, row) => (row * row) % 10);
const wanted = truth.crossEntropy(logits, ofRows, [64, 10, 1], -100);

tests["the page's device and buffers"] = async () => {
    const device = await ownDevice();
    let heard = false;
    device.onuncapturederror = () => { heard = true; };
    const input = { data: upload(device, logits), shape: [64, 10] };
    const target = { data: upload(device, ofRows), shape: [64] };
    const got = await crossEntropy(input, target, { device, outputs: ["grad", "lse", "argmax"] });
    close("loss", got.loss, wanted.loss);
    close("gradient", await download(device, got.grad), wanted.grad, 6e-6);
    if (String(got.rows.fields) !== "lse,argmax") throw new Error(`fields ${got.rows.fields}`);
    if (heard) throw new Error("an uncaptured error");
    // The page's own handler stays.
    device.createBuffer({ size: 4, usage: 0xffff });
    await device.queue.onSubmittedWorkDone();
    if (!heard) throw new Error("the page's handler is gone");
    if (Object.hasOwn(navigator, "gpu")) throw new Error("navigator.gpu is not the browser's");
};

tests["recorded into the page's pass, between its own dispatches"] = async () => {
    const device = await ownDevice();
    const arena = upload(device, logits, { offset: 256, size: 64 * 10 * 4 + 256 + 4 * 64 });
    device.queue.writeBuffer(arena, 256 + 2560, ofRows);
    const input = { data: arena, offset: 256, shape: [64, 10] };
    const target = { data: arena, offset: 256 + 2560, shape: [64] };
    const step = await bind("crossEntropy", { device, input, target, outputs: ["grad"], gradInPlace: true });
    // The page's kernel doubles the logits before, and the gradient after.
    const module = device.createShaderModule({ code: `
        @group(0) @binding(0) var<storage, read_write> x: array<f32>;
        @compute @workgroup_size(64) fn double(@builtin(global_invocation_id) id: vec3u) {
            if (id.x >= 64 && id.x < 704) { x[id.x] *= 2.0; }
        }` });
    const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer: arena } }] });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    const double = () => {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(11);
    };
    double();
    step.record(pass);
    double();
    pass.end();
    device.queue.submit([encoder.finish()]);
    const doubled = truth.crossEntropy(logits.map((x) => 2 * x), ofRows, [64, 10, 1], -100);
    close("loss", (await step.read()).loss, doubled.loss);
    close("gradient", await download(device, step.outputs.grad), doubled.grad.map((x) => 2 * x), 6e-6);
    step.free();
};

tests["a step that runs again, into the page's buffer, with labels from the host"] = async () => {
    const device = await defaultDevice();
    const data = upload(device, logits);
    const into = { grad: { data: device.createBuffer({ size: 4096, usage: STORAGE | COPY_SRC }), offset: 512 } };
    const step = await bind("crossEntropy", { input: { data, shape: [64, 10] }, target: Uint8Array.from(ofRows), outputs: ["grad", "accuracy", "classLosses"], into });
    for (const factor of [1, 3]) {
        const scaled = logits.map((x) => factor * x);
        device.queue.writeBuffer(data, 0, scaled);
        step.run();
        const { loss, classLosses, summary } = await step.read();
        const { loss: of, losses, grad } = truth.crossEntropy(scaled, ofRows, [64, 10, 1], -100);
        close("loss", loss, of);
        close("gradient", await download(device, step.outputs.grad), grad, 6e-6);
        close("class losses", classLosses.loss.reduce((a, b) => a + b), losses.reduce((a, b) => a + b));
        if (step.outputs.grad.data !== into.grad.data || !(summary.correct >= 0)) throw new Error("outputs");
    }
    step.free();
};

tests["other losses on buffers"] = async () => {
    const device = await defaultDevice();
    const held = (tensor) => ({ ...tensor, data: upload(device, tensor.data) });
    const probs = await losses.softmax(held(x));
    if ("loss" in probs) throw new Error(`a softmax has the loss ${probs.loss}`);
    close("softmax", await download(device, probs.probs), (await losses.softmax(x, { device: "cpu" })).probs, 1e-5);
    const given = [unit(4), variance];
    const one = await losses.gaussianNllLoss(held(x), ...given.map(held), { reduction: "none", outputs: ["varGrad"] });
    const other = await losses.gaussianNllLoss(x, ...given, { device: "cpu", reduction: "none", outputs: ["varGrad"] });
    close("losses", await download(device, one.losses), other.loss, 1e-5);
    close("varGrad", await download(device, one.varGrad), other.varGrad, 1e-5);
};

/** A call on buffers of the default device. */
async function bound(options = {}) {
    const device = await defaultDevice();
    const input = { data: upload(device, logits), shape: [64, 10] };
    return bind("crossEntropy", { input, target: ofRows, ...options });
}

tests["reads at the same time, and a step that is freed meanwhile"] = async () => {
    const step = await bound();
    step.run();
    const reads = [step.read(), step.read()];
    step.free();
    step.free();
    for (const { loss } of await Promise.all(reads)) close("loss", loss, wanted.loss);
};

tests["data that changes, moves or shrinks after the call"] = async () => {
    const later = [
        (data) => data.fill(0),
        (data) => structuredClone(data, { transfer: [data.buffer] }),
        (data) => data.buffer.resize(8),
    ];
    for (const change of later) {
        for (const call of [crossEntropy, async (input, target) => {
            const step = await bind("crossEntropy", { input, target });
            step.run();
            return step.read();
        }]) {
            const data = new Float32Array(new ArrayBuffer(logits.byteLength, { maxByteLength: 1 << 16 }));
            data.set(logits);
            const called = call({ data, shape: [64, 10] }, ofRows);
            change(data);
            close("loss", (await called).loss, wanted.loss);
        }
    }
};

tests["numbers in arrays with a type, and options of null"] = async () => {
    const input = { data: [2, 0, 0, 0, 3, 0], shape: [2, 3], type: "f32" };
    const one = await crossEntropy(input, [0, 1], { weight: null, axis: null, outputs: null });
    const target = { data: [1, 0, 0, 0, 1, 0], shape: [2, 3], type: "f32" };
    close("loss", (await crossEntropy(input, target)).loss, one.loss);
};

// --- Refusals ------------------------------------------------------------------------------------

const refused = {
    "a label that is no class": [() => crossEntropy(x, labels.map((label, row) => (row === 3 ? 12 : label))), { kind: "label", position: 3, value: 12, count: 1 }],
    "a probability of 1.5": [() => losses.binaryCrossEntropy(unit(3), { data: unit(4).data.map((x, i) => (i === 7 ? 1.5 : x)), shape: [24, 12] }), { kind: "value", tensor: "target", position: 7, value: 1.5 }],
    "an option of another loss": [() => losses.klDiv(logs, unit(4), { softcap: 3 }), { kind: "argument", message: /unknown field `softcap`/ }],
    "an option of another type": [() => crossEntropy(x, labels, { labelSmoothing: "much" }), { kind: "argument", message: /^labelSmoothing: invalid type/ }],
    "an output that there is not": [() => crossEntropy(x, labels, { outputs: ["gard"] }), { kind: "argument", message: /unknown variant `gard`/ }],
    "smoothing of 2": [() => crossEntropy(x, labels, { labelSmoothing: 2 }), { kind: "argument", message: /^labelSmoothing is 2/ }],
    "too few labels": [() => crossEntropy(x, labels.subarray(1)), { kind: "argument", message: /^target has 23 elements, but its shape \[24\] needs 24/ }],
    "one-hot integers": [() => crossEntropy(x, { data: new Uint8Array(288), shape: [24, 12] }), { kind: "argument", message: /class probabilities, as of one-hot targets, must be floats/ }],
    "an input without a shape": [() => crossEntropy(x.data, labels), { kind: "argument", message: /give \{ data, shape \}/ }],
    "no target": [() => crossEntropy(x), { kind: "argument", message: /needs a target/ }],
    "text": [() => crossEntropy({ data: "abc", shape: [1, 3] }, [0]), { kind: "argument", message: /^input has data of String/ }],
    "a shape of fractions": [() => crossEntropy({ data: x.data, shape: [24, 12.5] }, labels), { kind: "argument", message: /^input has shape \[24,12.5\]/ }],
    "a loss that there is not": [() => bind("hinge", { input: x }), { kind: "argument", message: /there is no loss hinge/ }],
    "a buffer that is too small": [
        async () => crossEntropy({ data: upload(await defaultDevice(), new Float32Array(8)), shape: [3, 4] }, [0, 1, 2]),
        { kind: "argument", message: /input/ },
    ],
    "a buffer of another device": [
        async () => crossEntropy({ data: upload(await ownDevice(), logits), shape: [64, 10] }, ofRows),
        { kind: "device" },
    ],
    "an input on the host and labels in a buffer": [
        async () => crossEntropy(x, { data: upload(await defaultDevice(), labels), shape: [24], type: "i32" }),
        { kind: "argument", message: /put both where one is/ },
    ],
    "a buffer that is destroyed": [
        async () => {
            const device = await defaultDevice();
            const heard = device.onuncapturederror;
            device.onuncapturederror = null;
            const data = upload(device, logits);
            const step = await bind("crossEntropy", { input: { data, shape: [64, 10] }, target: ofRows });
            step.run();
            close("loss", (await step.read()).loss, wanted.loss);
            data.destroy();
            step.run();
            await step.read().finally(() => { device.onuncapturederror = heard; });
        },
        { kind: "device", message: /no result/ },
    ],
    "a result of nothing": [async () => (await bound()).read(), { kind: "device", message: /nothing was submitted/ }],
    "a step that is freed": [
        async () => {
            const step = await bound();
            step.free();
            step.run();
        },
        { kind: "argument", message: /is freed/ },
    ],
    "a place of no output": [() => bound({ into: { gard: null } }), { kind: "argument", message: /into has gard/ }],
    "a place that is no buffer": [() => bound({ outputs: ["grad"], into: { grad: logits } }), { kind: "argument", message: /into.grad is no GPUBuffer/ }],
    "a gradient in place that is not asked for": [() => bound({ gradInPlace: true }), { kind: "argument", message: /outputs has no "grad"/ }],
    "a gradient over an input on the host": [
        () => bind("crossEntropy", { input: x, target: labels, outputs: ["grad"], gradInPlace: true }),
        { kind: "argument", message: /on the host/ },
    ],
    "an offset before the buffer": [
        async () => crossEntropy({ data: upload(await defaultDevice(), logits), shape: [64, 10], offset: -256 }, ofRows),
        { kind: "argument", message: /^input has the offset -256/ },
    ],
    "a buffer of integers": [
        async () => crossEntropy({ data: upload(await defaultDevice(), logits), shape: [64, 10], type: "u32" }, ofRows),
        { kind: "argument", message: /^input is of u32, expected floats/ },
    ],
    "a device that is none": [() => crossEntropy(x, labels, { device: {} }), { kind: "argument", message: /^device is neither/ }],
    "an axis that there is not": [() => crossEntropy(x, labels, { axis: 7 }), { kind: "argument", message: /^axis is 7/ }],
    "an extent that is no number": [() => crossEntropy({ data: x.data, shape: [24n, 12] }, labels), { kind: "argument", message: /^input has shape \[24,12\], expected an array of whole numbers/ }],
    "text among numbers": [() => crossEntropy({ data: [1, "2"], shape: [1, 2] }, [0]), { kind: "argument", message: /^input has a string at 1/ }],
    "a device that makes no pipelines": [
        async () => {
            const device = await ownDevice();
            device.onuncapturederror = null;
            await losses.entropy(x, { device });
            device.createComputePipeline = ({ compute, ...others }) =>
                GPUDevice.prototype.createComputePipeline.call(device, { ...others, compute: { ...compute, entryPoint: "none" } });
            await crossEntropy(x, labels, { device });
        },
        { kind: "device" },
    ],
    "outputs over inputs": [
        async () => {
            const data = upload(await defaultDevice(), logits, { size: 4096 });
            const input = { data, shape: [64, 10] };
            return bind("crossEntropy", { input, target: ofRows, outputs: ["grad"], into: { grad: { data, offset: 256 } } });
        },
        { kind: "argument", message: /share|overlap/ },
    ],
    "a device that is lost": [async () => {
        const device = await ownDevice();
        await crossEntropy(x, labels, { device });
        device.destroy();
        await device.lost;
        await crossEntropy(x, labels, { device });
    }, { kind: "device" }],
};
for (const [name, [call, facts]] of Object.entries(refused)) tests[`refused: ${name}`] = () => throws(call, { name: "LossError", ...facts });

tests["more than a binding of a bare device holds"] = async () => {
    const [rows, classes] = [1100, 32_000];
    const row = noise(classes, 3);
    const data = new Float32Array(rows * classes);
    for (let at = 0; at < rows; at++) data.set(row, at * classes);
    const target = Uint16Array.from({ length: rows }, (_, at) => at);
    const { loss } = truth.crossEntropy(row, [0], [1, classes, 1], -100);
    const wanted = loss + row[0] - row.subarray(0, rows).reduce((sum, x) => sum + x, 0) / rows;
    const got = await crossEntropy({ data, shape: [rows, classes] }, target, { device: await ownDevice() });
    close("loss", got.loss, wanted);
};

tests["bad labels in a buffer"] = async () => {
    const device = await defaultDevice();
    const step = await bind("crossEntropy", { input: { data: upload(device, logits), shape: [64, 10] }, target: ofRows.map((label) => label + 4) });
    step.run();
    await throws(() => step.read(), { name: "LossError", kind: "label" });
};

tests["calls at the same time"] = async () => {
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => crossEntropy({ data: logits.map((x) => x * i), shape: [64, 10] }, ofRows)));
    all.forEach(({ loss }, i) => close(`call ${i}`, loss, truth.crossEntropy(logits.map((x) => x * i), ofRows, [64, 10, 1], -100).loss));
};

tests["a new device after the own one is lost"] = async () => {
    const device = await defaultDevice();
    device.destroy();
    await device.lost;
    close("loss", (await crossEntropy({ data: logits, shape: [64, 10] }, ofRows)).loss, wanted.loss);
    if (await defaultDevice() === device) throw new Error("it is the lost one");
};

tests["in a worker"] = async () => {
    const code = `import { crossEntropy } from "${new URL("../package/dist/index.js", location)}";
        crossEntropy({ data: [2, 0, 0, 0, 3, 0], shape: [2, 3] }, [0, 1]).then(({ loss }) => postMessage(loss), (error) => postMessage(error.message));`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
    const loss = await new Promise((answer) => { worker.onmessage = ({ data }) => answer(data); });
    worker.terminate();
    close("loss", loss, truth.crossEntropy(Float32Array.of(2, 0, 0, 0, 3, 0), [0, 1], [2, 3, 1], -100).loss);
};

tests["on the processor where there is no GPU"] = async () => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.srcdoc = `<script type="module">
        Object.defineProperty(navigator, "gpu", { value: undefined, configurable: true });
        const warnings = [];
        console.warn = (text) => warnings.push(text);
        const { crossEntropy, defaultDevice } = await import("${new URL("../package/dist/index.js", location)}");
        const { loss } = await crossEntropy({ data: [2, 0, 0, 0, 3, 0], shape: [2, 3] }, [0, 1]);
        const refused = await defaultDevice().catch((error) => error.kind);
        parent.postMessage({ loss, warnings, refused });
    </script>`;
    const { loss, warnings, refused } = await new Promise((answer) => { addEventListener("message", ({ data }) => answer(data), { once: true }); });
    frame.remove();
    close("loss", loss, truth.crossEntropy(Float32Array.of(2, 0, 0, 0, 3, 0), [0, 1], [2, 3, 1], -100).loss);
    if (warnings.length !== 1 || !/wgpu-loss computes on the CPU/.test(warnings[0])) throw new Error(`warnings: ${warnings}`);
    if (refused !== "adapter") throw new Error(`defaultDevice: ${refused}`);
};

tests["a WebAssembly part that loads at the second attempt"] = async () => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.srcdoc = `<script type="module">
        const real = fetch;
        globalThis.fetch = () => Promise.reject(new Error("offline"));
        const { crossEntropy } = await import("${new URL("../package/dist/index.js", location)}");
        const call = () => crossEntropy({ data: [2, 0, 0, 0, 3, 0], shape: [2, 3] }, [0, 1], { device: "cpu" });
        const first = await call().catch(({ kind, message }) => kind + ": " + message);
        globalThis.fetch = real;
        parent.postMessage({ first, loss: (await call()).loss });
    </script>`;
    const { first, loss } = await new Promise((answer) => { addEventListener("message", ({ data }) => answer(data), { once: true }); });
    frame.remove();
    close("loss", loss, truth.crossEntropy(Float32Array.of(2, 0, 0, 0, 3, 0), [0, 1], [2, 3, 1], -100).loss);
    if (!/^adapter: .*offline/.test(first)) throw new Error(first);
};

tests["a page that has fixed navigator.gpu"] = async () => {
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.srcdoc = `<script type="module">
        Object.defineProperty(navigator, "gpu", { value: navigator.gpu, configurable: false });
        const { defaultDevice } = await import("${new URL("../package/dist/index.js", location)}");
        parent.postMessage(await defaultDevice().catch(({ kind, message }) => kind + ": " + message));
    </script>`;
    const refused = await new Promise((answer) => { addEventListener("message", ({ data }) => answer(data), { once: true }); });
    frame.remove();
    if (!/^adapter: .*navigator.gpu/.test(refused)) throw new Error(refused);
};

// The examples of the README, which scripts/test-web has compiled.
for (let example = 1; example <= Number(new URLSearchParams(location.search).get("examples")); example++) {
    tests[`README, example ${example}`] = () => import(`./readme/example${example}.js`);
}

// --- The run ---------------------------------------------------------------------------------------

const only = new URLSearchParams(location.search).get("only") ?? "";
for (const [name, test] of Object.entries(tests)) {
    if (!name.includes(only)) continue;
    try {
        await test();
        report.lines.push(`ok      ${name}`);
    } catch (error) {
        report.failed += 1;
        report.lines.push(`FAILED  ${name}: ${error?.stack ?? error}`);
    }
}
report.done = true;

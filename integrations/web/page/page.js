// The page: losses of dropped files, their heat map, and the speed of this browser's GPU.

import { bind, crossEntropy, defaultDevice } from "wgpu-loss";
import { parse } from "./npyjs.js";

const element = (id) => document.getElementById(id);

function say(text, bad = false) {
    element("message").textContent = text;
    element("message").className = bad ? "bad" : "";
}

/** Runs a task; what it throws is told. */
async function told(task) {
    try {
        await task();
    } catch (error) {
        say(error.message ?? String(error), true);
    }
}

// --- The device ------------------------------------------------------------------------------------

try {
    const { vendor, architecture, device, description } = (await defaultDevice()).adapterInfo;
    element("device").textContent = `on ${description || device || [vendor, architecture].filter(Boolean).join(" ") || "a GPU"}`;
} catch (error) {
    element("device").textContent = `on the processor: ${error.message}`;
    element("bench").disabled = true;
}

// --- Files -----------------------------------------------------------------------------------------

async function opened(file) {
    let array;
    try {
        array = parse(await file.arrayBuffer());
    } catch (error) {
        throw new Error(`${file.name} is no .npy file: ${error.message}`);
    }
    if (array.fortranOrder) throw new Error(`${file.name} is in Fortran's order: save it by np.ascontiguousarray`);
    return { name: file.name, data: array.data, shape: array.shape };
}

async function dropped(files) {
    if (files.length !== 2) throw new Error(`${files.length} files: drop two together, logits and labels`);
    const arrays = await Promise.all([...files].map(opened));
    const floats = ({ data }) => data instanceof Float32Array || data instanceof Float64Array;
    const [logits, labels] = [arrays.find(floats), arrays.find((array) => !floats(array))];
    if (!logits || !labels) {
        throw new Error(`${arrays.map(({ name }) => name).join(" and ")}: one has floats, the logits, and one integers, the labels`);
    }
    await show(logits, labels, Number(element("ignored").value));
}

/** Logits of 8 classes over an image whose regions are unclear at their borders. */
function sample() {
    const [classes, height, width] = [8, 96, 160];
    const data = new Float32Array(classes * height * width);
    const labels = new Uint8Array(height * width);
    let state = 1;
    const noise = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
    const centres = Array.from({ length: classes }, () => [noise() * height, noise() * width]);
    for (let pixel = 0; pixel < labels.length; pixel++) {
        const [y, x] = [Math.floor(pixel / width), pixel % width];
        const distances = centres.map(([cy, cx]) => Math.hypot(y - cy, x - cx));
        labels[pixel] = distances.indexOf(Math.min(...distances));
        distances.forEach((distance, c) => { data[c * labels.length + pixel] = -distance / 4 + noise(); });
    }
    return [{ data, shape: [1, classes, height, width] }, { data: labels, shape: [1, height, width] }];
}

const drop = element("drop");
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    void told(() => dropped(event.dataTransfer.files));
});
element("files").addEventListener("change", ({ target }) => told(() => dropped(target.files)));
element("sample").addEventListener("click", () => told(() => show(...sample(), -100)));

// --- Losses ----------------------------------------------------------------------------------------

async function show(logits, labels, ignoreIndex) {
    say("");
    const begun = performance.now();
    const options = { ignoreIndex, outputs: ["accuracy", "entropy"] };
    const output = await crossEntropy(logits, labels, options);
    const rows = await crossEntropy(logits, labels, { ignoreIndex, reduction: "none" });
    const took = performance.now() - begun;
    const { summary, loss, entropy } = output;
    const numbers = {
        "logits": `(${logits.shape.join(", ")})`,
        "mean loss": loss.toPrecision(6),
        "perplexity": Math.exp(loss).toPrecision(6),
        "accuracy": `${(100 * summary.correct / summary.live).toFixed(2)} %`,
        "mean entropy": (entropy.reduce((sum, x) => sum + x, 0) / entropy.length).toPrecision(6),
        "rows that count": `${summary.live} of ${summary.rows}`,
        "time, with compilation": `${took.toFixed(1)} ms`,
    };
    element("numbers").replaceChildren(...Object.entries(numbers).map(([name, value]) => line([name], [value])));
    heatMap(rows.loss, labels.shape);
    element("result").hidden = false;
}

function line(heads, cells) {
    const row = document.createElement("tr");
    const cell = (kind) => (text) => Object.assign(document.createElement(kind), { textContent: text });
    row.append(...heads.map(cell("th")), ...cells.map(cell("td")));
    return row;
}

/** Draws the losses of rows: of the first image, or row after row. */
function heatMap(losses, shape) {
    const image = shape.length === 3 ? shape.slice(1) : undefined;
    const width = image ? image[1] : Math.ceil(Math.sqrt(losses.length * 2));
    const height = image ? image[0] : Math.ceil(losses.length / width);
    const canvas = element("map");
    [canvas.width, canvas.height] = [width, height];
    const shown = losses.subarray(0, width * height);
    const most = shown.reduce((most, loss) => (Number.isFinite(loss) ? Math.max(most, loss) : most), 0);
    const pixels = new ImageData(width, height);
    shown.forEach((loss, at) => pixels.data.set(colour(loss / (most || 1)), 4 * at));
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    const rows = `${losses.length} rows, from the left to the right and down`;
    const of = !image ? rows : shape[0] === 1 ? "the image" : `the first of ${shape[0]} images`;
    element("caption").textContent = `losses of ${of}: dark 0, bright ${most.toPrecision(3)}`;
}

/** A colour from dark blue to yellow, of a number from 0 to 1. */
function colour(part) {
    const stops = [[13, 8, 60], [90, 20, 130], [190, 50, 110], [245, 130, 60], [250, 235, 130]];
    const at = Math.min(Math.max(Number.isNaN(part) ? 1 : part, 0), 1) * (stops.length - 1);
    const [low, high] = [stops[Math.floor(at)], stops[Math.ceil(at)]];
    return [...low.map((x, i) => x + (high[i] - x) * (at % 1)), 255];
}

// --- Speed -----------------------------------------------------------------------------------------

const SIZES = [[65_536, 10], [8192, 1000], [1024, 32_000]];
/** Seconds of each measurement. */
const LONG = 0.3;

element("bench").addEventListener("click", () => told(async () => {
    element("bench").disabled = true;
    say("measuring");
    try {
        await measure();
        say("");
    } finally {
        element("bench").disabled = false;
    }
}));

async function measure() {
    element("speeds").replaceChildren(line(["logits", "", "time", "GB/s"], []));
    for (const [rows, classes] of SIZES) {
        for (const outputs of [[], ["grad"]]) {
            const seconds = await measured(rows, classes, outputs);
            const bytes = 4 * rows * classes * (1 + outputs.length);
            const kind = outputs.length ? "loss and gradient" : "loss";
            const cells = [`(${rows}, ${classes})`, kind, `${brief(1e3 * seconds)} ms`, brief(bytes / seconds / 1e9)];
            element("speeds").append(line([], cells));
        }
    }
}

/** Returns a number with three digits at least. */
function brief(number) {
    return number < 100 ? number.toPrecision(3) : number.toFixed(0);
}

/** Returns the seconds of a call: many are submitted, and all waited for. */
async function measured(rows, classes, outputs) {
    const device = await defaultDevice();
    const { STORAGE, COPY_DST } = GPUBufferUsage;
    const data = device.createBuffer({ size: 4 * rows * classes, usage: STORAGE | COPY_DST });
    const row = Float32Array.from({ length: classes }, (_, c) => (c * 37 % 101) / 20);
    for (let at = 0; at < rows; at++) device.queue.writeBuffer(data, 4 * at * classes, row);
    const target = Int32Array.from({ length: rows }, (_, at) => at * 7 % classes);
    const step = await bind("crossEntropy", { input: { data, shape: [rows, classes] }, target, outputs });
    const run = async (calls) => {
        const begun = performance.now();
        for (let call = 0; call < calls; call++) step.run();
        await device.queue.onSubmittedWorkDone();
        return (performance.now() - begun) / 1e3;
    };
    await run(1);
    const calls = Math.min(Math.max(Math.round(LONG / await run(1)), 1), 1000);
    const seconds = await run(calls) / calls;
    step.outputs.grad?.data.destroy();
    step.free();
    data.destroy();
    return seconds;
}

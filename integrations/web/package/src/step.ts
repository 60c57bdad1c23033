import type { Step as Bound } from "./wasm/wgpu_loss_web.js";
import { DISTRIBUTIONS, call, type Small } from "./call.js";
import { device } from "./device.js";
import { LossError, argument } from "./errors.js";
import type { Losses } from "./losses.js";
import { bytesOf, isBuffer, startOf, type ElementType } from "./tensor.js";

/** Buffers with the large outputs of a call. */
export interface DeviceOutputs {
    /** The losses of rows or elements, for the reduction `"none"`. */
    losses?: DeviceTensor;
    grad?: DeviceTensor;
    targetGrad?: DeviceTensor;
    varGrad?: DeviceTensor;
    logProbs?: DeviceTensor;
    probs?: DeviceTensor;
    /** The outputs of each row, one row after the other: a word of 32 bits for each of `fields`. */
    rows?: DeviceTensor & { fields: string[] };
}

/** A tensor in a buffer of the device. */
export interface DeviceTensor {
    data: GPUBuffer;
    offset: number;
    shape: number[];
    type: ElementType;
}

/** The results of a call on buffers: large ones stay on the device. */
export type DeviceOutput = DeviceOutputs & Small;

/** A range of a buffer; the whole buffer without an offset. */
export type Into = GPUBuffer | { data: GPUBuffer; offset?: number };

/** Options of calls on buffers. */
export interface BindOptions {
    /** Buffers of the page for outputs, with the usage STORAGE; others are made. */
    into?: Partial<Record<keyof DeviceOutputs, Into>>;
    /** The gradient overwrites the input. */
    gradInPlace?: boolean;
}

// Of WebGPU's names, TypeScript's DOM library lacks these.
declare const GPUBufferUsage: Record<"STORAGE" | "COPY_SRC" | "COPY_DST" | "MAP_READ", number>;
declare const GPUMapMode: Record<"READ", number>;

/** The result's bytes, and what else comes to the host. */
const RESULT = "result";
const CLASSES = "classes";
/** The bytes of a result that is not written: counts of rows that no call has. */
const UNWRITTEN = 0xff;

interface Place {
    name: string;
    bytes: number;
    shape: number[];
    type: ElementType;
    fields: string[];
}

interface Range {
    name: string;
    buffer: GPUBuffer;
    offset: number;
    bytes: number;
}

/**
 * A call that is bound to buffers, recorded into the page's own passes any number of times.
 *
 * @example
 * const step = await bind("crossEntropy", { device, input: logits, target: labels, outputs: ["grad"] });
 * const encoder = device.createCommandEncoder();
 * const pass = encoder.beginComputePass();
 * step.record(pass);
 * pass.end();
 * device.queue.submit([encoder.finish()]);
 * const { loss } = await step.read();
 */
export class Step {
    /** The large outputs. */
    readonly outputs: DeviceOutputs;
    readonly #device: GPUDevice;
    readonly #bound: Bound;
    readonly #result: Range;
    readonly #classes: Range | undefined;
    /** Buffers that the page has not seen. */
    readonly #own: GPUBuffer[];
    readonly #hasLoss: boolean;
    #reading = 0;
    #freed = false;

    /** @internal */
    constructor(
        device: GPUDevice, bound: Bound, places: Place[], ranges: Map<string, Range>, own: GPUBuffer[], hasLoss: boolean,
    ) {
        this.#device = device;
        this.#bound = bound;
        this.#result = ranges.get(RESULT) as Range;
        this.#classes = ranges.get(CLASSES);
        this.#own = own;
        this.#hasLoss = hasLoss;
        this.outputs = {};
        for (const { name, shape, type, fields } of places) {
            const range = ranges.get(name) ?? ranges.get("input");
            if (name === RESULT || name === CLASSES || range === undefined) continue;
            const tensor = { data: range.buffer, offset: range.offset, shape, type };
            Object.assign(this.outputs, { [OUTPUTS[name] ?? name]: name === "rows" ? { ...tensor, fields } : tensor });
        }
        this.#markResult();
    }

    /** Makes the result one that no call writes, by which `read` knows work that did not run. */
    #markResult(): void {
        const { buffer, offset, bytes } = this.#result;
        this.#device.queue.writeBuffer(buffer, offset, new Uint8Array(bytes).fill(UNWRITTEN));
    }

    #notFreed(): void {
        if (this.#freed) throw argument("the step is freed");
    }

    /** Records the call into a compute pass. It changes the pass's pipeline and bind group 0. */
    record(pass: GPUComputePassEncoder): void {
        this.#notFreed();
        this.#bound.record(pass);
    }

    /** Submits the call in a pass of its own. */
    run(): void {
        this.#notFreed();
        this.#markResult();
        const encoder = this.#device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        this.record(pass);
        pass.end();
        this.#device.queue.submit([encoder.finish()]);
    }

    /**
     * Returns the loss and the summary of what was submitted last.
     *
     * @throws LossError of kind "label" or "value" for targets that are out of range, and "device" if nothing ran.
     */
    async read(): Promise<Small> {
        this.#notFreed();
        this.#reading += 1;
        try {
            return await this.#read();
        } catch (error) {
            throw LossError.of(error);
        } finally {
            this.#reading -= 1;
            if (this.#freed) this.#freeBound();
        }
    }

    async #read(): Promise<Small> {
        const ranges = [this.#result, ...(this.#classes ? [this.#classes] : [])];
        const [result, classes] = await download(this.#device, ranges) as [Uint8Array, Uint8Array | undefined];
        if (result.every((byte) => byte === UNWRITTEN)) {
            const reason = "nothing was submitted, or the device refused it, as its uncapturederror says";
            throw new LossError("device", `there is no result: ${reason}`);
        }
        const { loss, ...small } = this.#bound.decode(result, classes) as Small;
        return loss === undefined || !this.#hasLoss ? small : { loss, ...small };
    }

    /** Frees what the page has no hold of. The outputs stay. */
    free(): void {
        if (this.#freed) return;
        this.#freed = true;
        this.#freeBound();
        // Work that is submitted still has them.
        this.#own.forEach((buffer) => buffer.destroy());
    }

    /** Frees the WebAssembly part's memory, after the last read. */
    #freeBound(): void {
        if (this.#reading === 0) this.#bound.free();
    }
}

/** The outputs whose names are others on the device: a reduced loss is none of them. */
const OUTPUTS: Record<string, string> = { loss: "losses" };

/**
 * Binds a loss to buffers of a device. Tensors on the host are uploaded once.
 *
 * @throws LossError
 */
export async function bind<Loss extends keyof Losses>(
    loss: Loss, given: Losses[Loss] & BindOptions,
): Promise<Step> {
    const { into, gradInPlace = false, ...others } = given as BindOptions & Losses["crossEntropy"];
    if (others.device === "cpu") throw argument("device is \"cpu\", and buffers are a GPU's");
    const { tensors, described, options, inF32 } = call(loss, others as never);
    if (gradInPlace && !isBuffer(tensors[0]?.data)) throw argument("gradInPlace: the input is on the host");
    const opened = await device(others.device);
    const gpu = opened.device as GPUDevice;
    const own: GPUBuffer[] = [];
    gpu.pushErrorScope("out-of-memory");
    gpu.pushErrorScope("validation");
    let step: Step | undefined;
    let failed: unknown;
    try {
        const prepared = opened.prepare(loss, options, described, inF32);
        const places = prepared.places() as Place[];
        refuseOthers(places, into, gradInPlace);
        const ranges = new Map<string, Range>();
        for (const { slot, type, shape, data, offset } of tensors) {
            const buffer = data instanceof Uint8Array ? uploaded(gpu, data) : data;
            if (data instanceof Uint8Array) own.push(buffer);
            ranges.set(slot, { name: slot, buffer, offset, bytes: padded(bytesOf(type, shape)) });
        }
        for (const { name, bytes } of places) {
            if (name === "grad" && gradInPlace) continue;
            ranges.set(name, room(gpu, name, padded(bytes), into, own));
        }
        const bound = prepared.bind([...ranges.values()]);
        step = new Step(gpu, bound, places, ranges, own, !DISTRIBUTIONS.includes(loss));
        prepared.free();
    } catch (error) {
        failed = error;
    }
    const errors = await Promise.all([gpu.popErrorScope(), gpu.popErrorScope()]);
    const error = errors.find((error) => error !== null);
    if (step !== undefined && !error) return step;
    step?.free();
    own.forEach((buffer) => buffer.destroy());
    throw error && failed === undefined ? new LossError("device", error.message) : LossError.of(failed);
}

/** Refuses places for outputs that the call does not have. */
function refuseOthers(places: Place[], into: BindOptions["into"], gradInPlace: boolean): void {
    const names = places.map(({ name }) => OUTPUTS[name] ?? name);
    const other = Object.keys(into ?? {}).find((name) => !names.includes(name) || name === RESULT || name === CLASSES);
    if (other !== undefined) throw argument(`into has ${other}, which is no output of this call on the device`);
    if (gradInPlace && !names.includes("grad")) throw argument("gradInPlace: outputs has no \"grad\"");
    if (gradInPlace && into?.grad) throw argument("into has grad, which gradInPlace writes over the input");
}

/** Returns the range of an output: the page's, or a new buffer. */
function room(gpu: GPUDevice, name: string, bytes: number, into: BindOptions["into"], own: GPUBuffer[]): Range {
    const given = into?.[(OUTPUTS[name] ?? name) as keyof DeviceOutputs];
    if (given !== undefined && given !== null) {
        const { data, offset = 0 } = "data" in given ? given : { data: given };
        const called = `into.${OUTPUTS[name] ?? name}`;
        if (!isBuffer(data)) throw argument(`${called} is no GPUBuffer`);
        return { name, buffer: data, offset: startOf(called, offset), bytes };
    }
    const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const buffer = gpu.createBuffer({ label: `wgpu-loss ${name}`, size: Math.max(bytes, 4), usage: STORAGE | COPY_SRC | COPY_DST });
    if (name === RESULT || name === CLASSES) own.push(buffer);
    return { name, buffer, offset: 0, bytes };
}

/** Kernels read whole words. */
function padded(bytes: number): number {
    return Math.ceil(bytes / 4) * 4;
}

function uploaded(gpu: GPUDevice, data: Uint8Array): GPUBuffer {
    const size = Math.max(padded(data.byteLength), 4);
    const { STORAGE, COPY_DST } = GPUBufferUsage;
    const buffer = gpu.createBuffer({ label: "wgpu-loss input", size, usage: STORAGE | COPY_DST });
    const whole = data.byteLength - data.byteLength % 4;
    gpu.queue.writeBuffer(buffer, 0, data as BufferSource & Uint8Array, 0, whole);
    if (whole < data.byteLength) {
        const last = new Uint8Array(4);
        last.set(data.subarray(whole));
        gpu.queue.writeBuffer(buffer, whole, last);
    }
    return buffer;
}

/** Brings ranges to the host. */
async function download(gpu: GPUDevice, ranges: Range[]): Promise<Uint8Array[]> {
    const size = ranges.reduce((sum, { bytes }) => sum + bytes, 0);
    const staging = gpu.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = gpu.createCommandEncoder();
    let at = 0;
    for (const { buffer, offset, bytes } of ranges) {
        encoder.copyBufferToBuffer(buffer, offset, staging, at, bytes);
        at += bytes;
    }
    gpu.queue.submit([encoder.finish()]);
    try {
        await staging.mapAsync(GPUMapMode.READ);
    } catch (error) {
        throw new LossError("device", `the device failed while reading a result: ${(error as Error).message}`);
    }
    const all = new Uint8Array(staging.getMappedRange()).slice();
    staging.destroy();
    at = 0;
    return ranges.map(({ bytes }) => all.subarray(at, at += bytes));
}

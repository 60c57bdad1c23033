import init, { Device } from "./wasm/wgpu_loss_web.js";
import { LossError, argument } from "./errors.js";

/** Where a call computes: a device of the page, or the processor. */
export type Where = GPUDevice | "cpu";

let loading: Promise<unknown> | undefined;

/** Loads the WebAssembly part, once. */
export async function load(): Promise<void> {
    try {
        await (loading ??= init());
    } catch (error) {
        // The next call tries again.
        loading = undefined;
        throw new LossError("adapter", `the WebAssembly part does not load: ${(error as Error).message}`);
    }
}

/** The devices that are open. */
const opened = new WeakMap<GPUDevice, Promise<Device>>();
let own: Promise<Device> | undefined;

/**
 * Returns the GPUDevice that calls without a `device` compute on, which is opened at first use: with the adapter's limits,
 * so that large tensors fit.
 *
 * @throws LossError of kind "adapter" where there is no WebGPU.
 */
export async function defaultDevice(): Promise<GPUDevice> {
    return (await device()).device as GPUDevice;
}

/**
 * Opens the library on a device, once, or on its own.
 *
 * @internal
 */
export async function device(given?: GPUDevice): Promise<Device> {
    if (given !== undefined && typeof given?.createComputePipeline !== "function") {
        throw argument("device is neither a GPUDevice nor \"cpu\"");
    }
    await load();
    // The WebAssembly part stands there while it opens a device: see door.js.
    if (Object.getOwnPropertyDescriptor(navigator, "gpu")?.configurable === false) {
        throw new LossError("adapter", "the page has fixed navigator.gpu: it must be configurable");
    }
    if (given !== undefined) return remembered(given, () => Device.open(given));
    own ??= openOwn();
    try {
        return await own;
    } catch (error) {
        // The next call tries again.
        own = undefined;
        throw LossError.of(error);
    }
}

async function openOwn(): Promise<Device> {
    const device = await Device.open(undefined);
    const gpu = device.device as GPUDevice;
    opened.set(gpu, Promise.resolve(device));
    // A device that is lost is not used again.
    void gpu.lost.then(() => { own = undefined; });
    return device;
}

async function remembered(given: GPUDevice, open: () => Promise<Device>): Promise<Device> {
    const known = opened.get(given) ?? open();
    opened.set(given, known);
    try {
        return await known;
    } catch (error) {
        opened.delete(given);
        throw LossError.of(error);
    }
}

let warned = false;

/** Says once that there is no GPU. */
export function warnOfCpu(error: unknown): void {
    if (!warned) console.warn(`wgpu-loss computes on the CPU: ${(error as Error).message}`);
    warned = true;
}

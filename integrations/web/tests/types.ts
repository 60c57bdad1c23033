// What the package's types allow and refuse: compiled, not run.

import { bind, crossEntropy, klDiv, softmax, type DeviceTensor, type Output } from "wgpu-loss";

declare const device: GPUDevice;
declare const buffer: GPUBuffer;
const host = { data: new Float32Array(6), shape: [2, 3] };
const held = { data: buffer, shape: [2, 3] };

export async function allowed(): Promise<void> {
    const output: Output = await crossEntropy(host, new Uint8Array(2), { outputs: ["grad", "lse"], device });
    const gradient: Float32Array | undefined = output.grad;
    const onDevice: DeviceTensor | undefined = (await crossEntropy(held, [0, 1], { outputs: ["grad"] })).grad;
    const mean: number = (await crossEntropy(host, [0, 1])).loss;
    const losses: Float32Array = (await crossEntropy(host, [0, 1], { reduction: "none" })).loss;
    const probs: Float32Array = (await softmax(host)).probs;
    const heldProbs: GPUBuffer = (await softmax(held)).probs.data;
    const step = await bind("klDiv", { input: held, target: held, logTarget: true, into: { grad: buffer } });
    const loss: number | undefined = (await step.read()).loss;
    void [gradient, onDevice, loss, mean, losses, probs, heldProbs];
}

export async function refused(): Promise<void> {
    // @ts-expect-error: an input has a shape.
    await crossEntropy(new Float32Array(6), [0, 1]);
    // @ts-expect-error: there is no such output.
    await crossEntropy(host, [0, 1], { outputs: ["gard"] });
    // @ts-expect-error: an option of another loss.
    await klDiv(host, host, { softcap: 30 });
    // @ts-expect-error: the gradient stays on the device.
    const gradient: Float32Array = (await crossEntropy(held, [0, 1])).grad;
    // @ts-expect-error: a softmax has no loss.
    const loss: number = (await softmax(host)).loss;
    // @ts-expect-error: a softmax has no target.
    await bind("softmax", { input: held, target: held });
    await softmax(host, { axis: -1 });
    void [gradient, loss];
}

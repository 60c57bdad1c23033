import { computeOnCpu } from "./wasm/wgpu_loss_web.js";
import { device, load, warnOfCpu, type Where as Place } from "./device.js";
import { LossError, argument } from "./errors.js";
import type { Losses, Reduction } from "./losses.js";
import { bind, type DeviceOutput } from "./step.js";
import {
    checked, isBuffer, isFloats, isLabel, shaped, type Checked, type ElementType, type Tensor, type TensorLike,
} from "./tensor.js";

/** Counts and sums over the rows; of losses of single elements every element is a row. */
export interface Summary {
    rows: number;
    /** Rows that count. */
    live: number;
    /** Rows that are left out. */
    ignored: number;
    /** The sum of the weights of the rows that count: their number, without weights. */
    weight: number;
    /** Rows that count whose loss is not finite, and the first of them. */
    nonfinite: number;
    firstNonfinite?: number;
    /** Rows that count whose label has the largest logit, if `"accuracy"` is asked for. */
    correct?: number;
    /** Rows that count whose label is among the `topK` largest logits, if that is asked for. */
    inTopK?: number;
}

/** Sums over the rows of each class. */
export interface ClassLosses {
    loss: Float64Array;
    rows: Float64Array;
    /** Rows that are predicted right, with `"accuracy"`; zeros otherwise. */
    correct: Float64Array;
}

/** What is on the host of either kind of call. */
export interface Small {
    /** The reduced loss, of a call that has one. */
    loss?: number;
    /** The z-loss, reduced as the loss and not part of it. */
    zLoss?: number;
    summary: Summary;
    classLosses?: ClassLosses;
}

/** The results of a call on host data. */
export interface Output<Loss extends number | Float32Array = number | Float32Array> extends Large {
    /** The loss: a number, or the losses of rows or elements for the reduction `"none"`. */
    loss: Loss;
    zLoss?: Loss;
}

/** What is on the host after a call on host data, beside the loss. */
export interface Large extends Omit<Small, "loss" | "zLoss"> {
    /** Gradients, in the shapes of what they belong to. */
    grad?: Float32Array;
    targetGrad?: Float32Array;
    varGrad?: Float32Array;
    /** The distribution, in the input's shape. */
    logProbs?: Float32Array;
    probs?: Float32Array;
    /** `log(sum_c exp x_c)` of each row. */
    lse?: Float32Array;
    /** The predicted class of each row; 4294967295 of a row without a distribution. */
    argmax?: Uint32Array;
    /** The number of classes before each row's label; 4294967295 of a row that does not count. */
    rank?: Uint32Array;
    entropy?: Float32Array;
    /** The variance of each row's log-probabilities. */
    variance?: Float32Array;
    /** Each row's part of the mean's divisor. */
    rowWeights?: Float32Array;
}

/** The results of a call: on the device where the input is. */
export type Computed<Input extends Tensor, R extends Reduction = Reduction> =
    Where<Input, DeviceOutput, Output<R extends "none" ? Float32Array : number>>;

/** The results of a softmax, which has no loss. */
export type Distribution<Input extends Tensor, Name extends "probs" | "logProbs" | "grad"> = Where<
    Input,
    Omit<DeviceOutput, "loss" | "zLoss"> & Required<Pick<DeviceOutput, Name>>,
    Large & Required<Pick<Large, Name>>
>;

type Where<Input extends Tensor, OnDevice, OnHost> =
    Input["data"] extends infer Data ? (Data extends GPUBuffer ? OnDevice : OnHost) : never;

/** The arguments of a loss. */
export type Arguments = { input: Tensor; target?: TensorLike; device?: Place } & Record<string, unknown>;

/** The tensors of a call, the input first, and its options. */
export interface Call {
    tensors: Checked[];
    /** What the WebAssembly part is told of the tensors. */
    described: { slot: string; type: ElementType; shape: number[] }[];
    options: Record<string, unknown>;
    inF32: boolean;
}

/** The tensors among the arguments of a loss, other than the input and the target. */
const OPERANDS: Record<string, readonly string[]> = {
    crossEntropy: ["weight", "rowWeights", "upstream"],
    nllLoss: ["weight", "rowWeights", "upstream"],
    entropy: ["upstream"],
    binaryCrossEntropy: ["weight", "upstream"],
    binaryCrossEntropyWithLogits: ["weight", "posWeight", "upstream"],
    klDiv: ["upstream"],
    gaussianNllLoss: ["var", "upstream"],
    poissonNllLoss: ["upstream"],
    softmax: ["upstream"],
    logSoftmax: ["upstream"],
};

/** The losses with a class axis and a target. */
const OF_CLASSES = ["crossEntropy", "nllLoss"];
/** The functions without a loss. */
export const DISTRIBUTIONS: readonly string[] = ["softmax", "logSoftmax"];
/** The functions without a target. */
const UNTARGETED = ["entropy", ...DISTRIBUTIONS];

/** Divides arguments into tensors, which are checked, and options. */
export function call(loss: keyof Losses, given: Arguments): Call {
    const operands = OPERANDS[loss];
    if (operands === undefined) throw argument(`there is no loss ${String(loss)}`);
    const { input, target, device: _, inF32, ...others } = given;
    if (input === null || typeof input !== "object" || !("data" in input)) {
        throw argument("input is no tensor: give { data, shape }");
    }
    const tensors = [checked("input", "input", input, false)];
    if (UNTARGETED.includes(loss)) {
        if (target !== undefined) throw argument(`${loss} takes no target`);
    } else {
        if (target === undefined || target === null) throw argument(`${loss} needs a target`);
        tensors.push(OF_CLASSES.includes(loss)
            ? classTarget(loss, input, target, others.axis)
            : checked("target", "target", shaped("target", target, input.shape), false));
    }
    const options: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(others)) {
        if (value === undefined || value === null) continue;
        if (operands.includes(name)) tensors.push(operand(loss, name, value as TensorLike, input, others));
        else options[name] = value;
    }
    // Class probabilities have no label that leaves a row out.
    if (tensors[1]?.slot === "probabilities" && options.ignoreIndex === -100) delete options.ignoreIndex;
    const described = tensors.map(({ slot, type, shape }) => ({ slot, type, shape: [...shape] }));
    return { tensors, described, options, inF32: inF32 === true };
}

/** Returns the labels, or the class probabilities. */
function classTarget(loss: string, input: Tensor, target: TensorLike, axis: unknown): Checked {
    const rows = withoutAxis(input.shape, axis);
    const tensor = shaped("target", target, isFloats(target) ? input.shape : rows);
    const labels = tensor.type !== undefined ? isLabel(tensor.type) : !isFloats(tensor.data) && !(
        isBuffer(tensor.data) && String(tensor.shape) === String(input.shape)
    );
    if (!labels && loss === "nllLoss") throw argument("target holds floats, expected labels");
    if (labels && String(tensor.shape) !== String(rows)) {
        const floats = Array.isArray(tensor.data) ? "have type: \"f32\"" : "be floats";
        const hint = String(tensor.shape) === String(input.shape)
            ? `: class probabilities, as of one-hot targets, must ${floats}` : "";
        throw argument(`target has shape [${tensor.shape}], expected [${rows}]${hint}`);
    }
    return checked("target", labels ? "labels" : "probabilities", tensor, labels);
}

/** Returns the shape without an axis: PyTorch's class axis by default. */
function withoutAxis(shape: readonly number[], axis: unknown): number[] {
    const given = Number(axis ?? Math.min(1, shape.length - 1));
    const at = given < 0 ? given + shape.length : given;
    if (!(at in shape)) throw argument(`axis is ${String(axis ?? 1)}, but the input has shape [${shape}]`);
    return shape.filter((_, index) => index !== at);
}

/** Returns a weight, a variance or the upstream gradient. */
function operand(
    loss: string, name: string, given: TensorLike, input: Tensor, options: Record<string, unknown>,
): Checked {
    const ofClasses = OF_CLASSES.includes(loss);
    const length = (given as { length?: unknown }).length;
    const known = {
        weight: ofClasses && typeof length === "number" ? [length] : input.shape,
        rowWeights: ofClasses ? withoutAxis(input.shape, options.axis) : undefined,
        posWeight: input.shape,
        var: input.shape,
        upstream: upstreamShape(loss, length, input, options),
    }[name];
    const slot = name === "weight" && !ofClasses ? "elementWeight" : name;
    return checked(name, slot, shaped(name, given, known), false);
}

/** Returns the shape of an upstream gradient whose elements alone are given. */
function upstreamShape(
    loss: string, length: unknown, input: Tensor, { reduction, axis }: Record<string, unknown>,
): readonly number[] | undefined {
    if (DISTRIBUTIONS.includes(loss)) return input.shape;
    if (reduction !== "none") return length === 1 ? [] : undefined;
    if (loss === "entropy") return withoutAxis(input.shape, axis ?? -1);
    return OF_CLASSES.includes(loss) ? withoutAxis(input.shape, axis) : input.shape;
}

/** Computes a loss where its input is. */
export async function compute<Result>(loss: keyof Losses, given: Arguments): Promise<Result> {
    if (isBuffer(given.input?.data)) {
        const step = await bind(loss, given as never);
        step.run();
        try {
            return { ...step.outputs, ...await step.read() } as Result;
        } finally {
            step.free();
        }
    }
    const { tensors, described, options } = call(loss, given);
    const data = tensors.map((tensor) => {
        if (tensor.data instanceof Uint8Array) return tensor.data;
        throw argument(`the input is on the host, and the ${tensor.slot} in a GPUBuffer: put both where one is`);
    });
    const where = await place(given.device);
    try {
        const output = where === "cpu"
            ? computeOnCpu(loss, options, described, data)
            : await where.compute(loss, options, described, data);
        return output as Result;
    } catch (error) {
        throw LossError.of(error);
    }
}

/** Returns the device of a call on host data. */
async function place(given: Place | undefined) {
    await load();
    if (given !== undefined) return given === "cpu" ? "cpu" : device(given);
    try {
        return await device();
    } catch (error) {
        if (!(error instanceof LossError && error.kind === "adapter")) throw error;
        warnOfCpu(error);
        return "cpu";
    }
}

import { compute, type Computed, type Distribution } from "./call.js";
import type { Where } from "./device.js";
import type { Tensor, TensorLike } from "./tensor.js";

/** The reduction of the losses of rows, or of elements. */
export type Reduction = "mean" | "sum" | "none" | "batchmean";

/** Options of every loss. */
export interface Options<R extends Reduction = Reduction> {
    /** How the losses are reduced; `"mean"` by default. */
    reduction?: R;
    /** The mean over nothing: `"nan"` by default. */
    emptyMean?: "nan" | "zero";
    /** The gradient with respect to the loss: one number, as `[2]`, or the loss's shape for `"none"`. */
    upstream?: TensorLike;
    /** The page's device, or `"cpu"`. By default a device of the package's own, or the processor where there is none. */
    device?: Where;
    /** On buffers: outputs of f16 and bf16 inputs are f32. On the host they always are. */
    inF32?: boolean;
}

/** Options of losses over a class axis. */
export interface ClassOptions<R extends Reduction = Reduction> extends Options<R> {
    /** The class axis: 1 by default, and 0 of one axis. */
    axis?: number;
    /** A weight of each class. */
    weight?: TensorLike;
    /** A weight of each row, f32, in the labels' shape. A row of weight 0 is left out. */
    rowWeights?: TensorLike;
    /** The label whose rows are left out; -100 by default. */
    ignoreIndex?: number | bigint;
}

export interface CrossEntropyOptions<R extends Reduction = Reduction> extends ClassOptions<R> {
    /** The part of the target that all classes share, from 0 to 1. */
    labelSmoothing?: number;
    /** A factor of the logits, one over the temperature. */
    logitScale?: number;
    /** Bounds the logits, before the factor: `cap * tanh(x / cap)`. */
    softcap?: number;
    /** Adds `zLoss * log(sum exp x)^2` of each row to the function whose gradient is computed. */
    zLoss?: number;
    /** Counts the rows whose label is among so many largest logits. */
    topK?: number;
    /** Further outputs of the same pass over the logits. */
    outputs?: readonly (
        | "grad" | "logProbs" | "lse" | "argmax" | "rank" | "entropy" | "variance" | "rowWeights" | "accuracy"
        | "classLosses"
    )[];
}

export interface NllOptions<R extends Reduction = Reduction> extends ClassOptions<R> {
    outputs?: readonly ("grad" | "rowWeights" | "classLosses")[];
}

export interface EntropyOptions<R extends Reduction = Reduction> extends Options<R> {
    /** The class axis; the last by default. */
    axis?: number;
    outputs?: readonly ("grad" | "lse" | "argmax" | "variance")[];
}

export interface BceOptions<R extends Reduction = Reduction> extends Options<R> {
    /** A weight of each element, in a shape that broadcasts to the input's. */
    weight?: TensorLike;
    outputs?: readonly "grad"[];
}

export interface BceWithLogitsOptions<R extends Reduction = Reduction> extends BceOptions<R> {
    /** A weight of the positive part, in a shape that broadcasts to the input's. */
    posWeight?: TensorLike;
}

export interface KlDivOptions<R extends Reduction = Reduction> extends Options<R> {
    /** The target's elements are logarithms. */
    logTarget?: boolean;
    outputs?: readonly ("grad" | "targetGrad")[];
}

export interface GaussianNllOptions<R extends Reduction = Reduction> extends Options<R> {
    /** Adds the constant `log(2 pi) / 2`. */
    full?: boolean;
    /** The least variance; 1e-6 by default. */
    eps?: number;
    outputs?: readonly ("grad" | "targetGrad" | "varGrad")[];
}

export interface PoissonNllOptions<R extends Reduction = Reduction> extends Options<R> {
    /** The input's elements are logarithms of the expected counts; true by default. */
    logInput?: boolean;
    /** Adds Stirling's approximation of `log(t!)`. */
    full?: boolean;
    /** Keeps the logarithm of an expected count finite; 1e-8 by default. */
    eps?: number;
    outputs?: readonly "grad"[];
}

export interface SoftmaxOptions {
    /** The axis of the classes; the last by default. */
    axis?: number;
    /** As for the losses. */
    device?: Where;
    /** As for the losses. */
    inF32?: boolean;
}

/** The arguments of each loss by its name, as `bind` takes them. */
export interface Losses {
    crossEntropy: { input: Tensor; target: TensorLike } & CrossEntropyOptions;
    nllLoss: { input: Tensor; target: TensorLike } & NllOptions;
    entropy: { input: Tensor } & EntropyOptions;
    binaryCrossEntropy: { input: Tensor; target: TensorLike } & BceOptions;
    binaryCrossEntropyWithLogits: { input: Tensor; target: TensorLike } & BceWithLogitsOptions;
    klDiv: { input: Tensor; target: TensorLike } & KlDivOptions;
    gaussianNllLoss: { input: Tensor; target: TensorLike; var: TensorLike } & GaussianNllOptions;
    poissonNllLoss: { input: Tensor; target: TensorLike } & PoissonNllOptions;
    softmax: { input: Tensor; upstream?: TensorLike; outputs?: readonly "grad"[] } & SoftmaxOptions;
    logSoftmax: { input: Tensor; upstream?: TensorLike; outputs?: readonly "grad"[] } & SoftmaxOptions;
}

/**
 * Cross-entropy of logits against labels or class probabilities.
 *
 * With `log p_c = x_c - log(sum_j exp x_j)` the loss of a row with label t is `-w_t log p_t`, and with class
 * probabilities q it is `-sum_c w_c q_c log p_c`. A target of integers is labels, in the input's shape without the class
 * axis; one of floats is probabilities, in the input's shape.
 *
 * @example
 * const logits = { data: new Float32Array([2, 0, 0, 0, 3, 0]), shape: [2, 3] };
 * const { loss, grad } = await crossEntropy(logits, new Uint8Array([0, 1]), { outputs: ["grad"] });
 */
export function crossEntropy<Input extends Tensor, R extends Reduction = "mean">(
    input: Input, target: TensorLike, options: CrossEntropyOptions<R> = {},
): Promise<Computed<Input, R>> {
    return compute("crossEntropy", { input, target, ...options });
}

/** Negative log-likelihood of log-probabilities at labels: `-w_t x_t`. */
export function nllLoss<Input extends Tensor, R extends Reduction = "mean">(
    input: Input, target: TensorLike, options: NllOptions<R> = {},
): Promise<Computed<Input, R>> {
    return compute("nllLoss", { input, target, ...options });
}

/** Entropy of the softmax of logits: `-sum_c p_c log p_c`. */
export function entropy<Input extends Tensor, R extends Reduction = "mean">(
    input: Input, options: EntropyOptions<R> = {},
): Promise<Computed<Input, R>> {
    return compute("entropy", { input, ...options });
}

/** Binary cross-entropy of probabilities: `-w (t log x + (1 - t) log(1 - x))`. */
export function binaryCrossEntropy<Input extends Tensor, R extends Reduction = "mean">(
    input: Input, target: TensorLike, options: BceOptions<R> = {},
): Promise<Computed<Input, R>> {
    return compute("binaryCrossEntropy", { input, target, ...options });
}

/** Binary cross-entropy of logits: `-w (p t log s(x) + (1 - t) log(1 - s(x)))`, with `s` the logistic function. */
export function binaryCrossEntropyWithLogits<Input extends Tensor, R extends Reduction = "mean">(
    input: Input, target: TensorLike, options: BceWithLogitsOptions<R> = {},
): Promise<Computed<Input, R>> {
    return compute("binaryCrossEntropyWithLogits", { input, target, ...options });
}

/** Terms of the Kullback-Leibler divergence: `t (log t - x)`, with log-probabilities x. */
export function klDiv<Input extends Tensor, R extends Reduction = "mean">(
    input: Input, target: TensorLike, options: KlDivOptions<R> = {},
): Promise<Computed<Input, R>> {
    return compute("klDiv", { input, target, ...options });
}

/** Negative log-likelihood under a normal distribution: `(log v + (x - t)^2 / v) / 2`, with variances v. */
export function gaussianNllLoss<Input extends Tensor, R extends Reduction = "mean">(
    input: Input, target: TensorLike, variance: TensorLike, options: GaussianNllOptions<R> = {},
): Promise<Computed<Input, R>> {
    return compute("gaussianNllLoss", { input, target, var: variance, ...options });
}

/** Negative log-likelihood under a Poisson distribution: `exp(x) - t x`. */
export function poissonNllLoss<Input extends Tensor, R extends Reduction = "mean">(
    input: Input, target: TensorLike, options: PoissonNllOptions<R> = {},
): Promise<Computed<Input, R>> {
    return compute("poissonNllLoss", { input, target, ...options });
}

/** Softmax of logits, in `probs`. */
export function softmax<Input extends Tensor>(
    input: Input, options: SoftmaxOptions = {},
): Promise<Distribution<Input, "probs">> {
    return compute("softmax", { input, ...options });
}

/** Logarithm of the softmax of logits, in `logProbs`. */
export function logSoftmax<Input extends Tensor>(
    input: Input, options: SoftmaxOptions = {},
): Promise<Distribution<Input, "logProbs">> {
    return compute("logSoftmax", { input, ...options });
}

/** Gradient of `softmax` with respect to its input, in `grad`; `upstream` has the input's shape. */
export function softmaxGrad<Input extends Tensor>(
    input: Input, upstream: TensorLike, options: SoftmaxOptions = {},
): Promise<Distribution<Input, "grad">> {
    return compute("softmax", { input, upstream, outputs: ["grad"], ...options });
}

/** Gradient of `logSoftmax` with respect to its input, in `grad`; `upstream` has the input's shape. */
export function logSoftmaxGrad<Input extends Tensor>(
    input: Input, upstream: TensorLike, options: SoftmaxOptions = {},
): Promise<Distribution<Input, "grad">> {
    return compute("logSoftmax", { input, upstream, outputs: ["grad"], ...options });
}

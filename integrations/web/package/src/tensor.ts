import { argument } from "./errors.js";

/** The types of floats. */
export type FloatType = "f32" | "f16" | "bf16";
/** The types of labels. */
export type LabelType = "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "u64" | "i64";
/** The type of a tensor's elements. */
export type ElementType = FloatType | LabelType;

/** Elements on the host. A `Uint16Array` has labels, or with a `type` the bits of f16 or bf16. */
export type HostData =
    | Float32Array
    | Float64Array
    | Uint8Array
    | Int8Array
    | Uint16Array
    | Int16Array
    | Uint32Array
    | Int32Array
    | BigUint64Array
    | BigInt64Array
    | readonly number[];

/** Elements and their shape, in C order (the last axis is contiguous), as NumPy's are. */
export interface Tensor<Data extends HostData | GPUBuffer = HostData | GPUBuffer> {
    data: Data;
    shape: readonly number[];
    /** The elements' type where `data` does not tell: f32 of a buffer, and u32 of one with labels, unless given. */
    type?: ElementType;
    /** Where the tensor starts in a GPUBuffer, in bytes: a multiple of 4. 0 by default. */
    offset?: number;
}

/** A tensor, or the elements of one whose shape is known. */
export type TensorLike = Tensor | HostData;

/** A tensor that is checked. */
export interface Checked {
    slot: string;
    type: ElementType;
    shape: readonly number[];
    data: Uint8Array | GPUBuffer;
    offset: number;
}

const BYTES: Record<ElementType, number> = {
    f32: 4, f16: 2, bf16: 2, u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, u64: 8, i64: 8,
};

/** Returns true for the types of labels. */
export function isLabel(type: ElementType): boolean {
    return type[0] === "u" || type[0] === "i";
}

/** Returns the bytes of a tensor. */
export function bytesOf(type: ElementType, shape: readonly number[]): number {
    return shape.reduce((product, extent) => product * extent, BYTES[type]);
}

/** Returns true for a buffer of a device. */
export function isBuffer(data: unknown): data is GPUBuffer {
    return typeof GPUBuffer !== "undefined" && data instanceof GPUBuffer;
}

/** Returns the tensor that is meant: elements alone have the shape that is known. */
export function shaped(name: string, given: TensorLike, known: readonly number[] | undefined): Tensor {
    if (given !== null && typeof given === "object" && "data" in given) return given;
    if (known === undefined) throw argument(`${name} has no shape: give { data, shape }`);
    return { data: given as HostData, shape: known };
}

/** Checks a tensor. `labels` says what an array of numbers, or a buffer without a type, holds. */
export function checked(name: string, slot: string, tensor: Tensor, labels: boolean): Checked {
    const { shape, offset = 0 } = tensor;
    if (!Array.isArray(shape) || !shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
        throw argument(`${name} has shape ${JSON.stringify(shape)}, expected the extents of its axes`);
    }
    if (isBuffer(tensor.data)) {
        const type = tensor.type ?? (labels ? "u32" : "f32");
        return { slot, type, shape, data: tensor.data, offset };
    }
    if (tensor.offset !== undefined) {
        throw argument(`${name} has an offset, which only a GPUBuffer takes: give a subarray`);
    }
    const [type, data] = elements(name, tensor, labels);
    if (isLabel(type) !== labels) {
        const wanted = labels ? "labels, which are integers" : "floats";
        throw argument(`${name} is of ${type}, expected ${wanted}`);
    }
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const wanted = bytesOf(type, shape) / BYTES[type];
    if (data.length !== wanted) {
        throw argument(`${name} has ${data.length} elements, but its shape [${shape}] needs ${wanted}`);
    }
    return { slot, type, shape, data: bytes, offset };
}

type Typed = Exclude<HostData, readonly number[]>;

/** Returns elements on the host in a type that kernels read. */
function elements(name: string, { data, type }: Tensor, labels: boolean): [ElementType, Typed] {
    const of = naturalType(data);
    if (type !== undefined && type !== of && !(of === "u16" && (type === "f16" || type === "bf16"))) {
        throw argument(`${name} is said to be of ${type}, but its data is ${of ?? (data as object)?.constructor?.name}`);
    }
    if (of !== undefined) return [type ?? of, data as Typed];
    if (data instanceof Float64Array) return ["f32", Float32Array.from(data)];
    if (!Array.isArray(data)) {
        throw argument(`${name} has data of ${String((data as object)?.constructor?.name)}, expected a typed array or a GPUBuffer`);
    }
    if (!labels) return ["f32", Float32Array.from(data)];
    if (!data.every((label) => Number.isInteger(label) && Math.abs(label) < 2 ** 31)) {
        throw argument(`${name} has labels that are no integers of 32 bits`);
    }
    return ["i32", Int32Array.from(data)];
}

function naturalType(data: unknown): ElementType | undefined {
    switch (Object.prototype.toString.call(data)) {
        case "[object Float32Array]": return "f32";
        case "[object Float16Array]": return "f16";
        case "[object Uint8Array]": return "u8";
        case "[object Uint8ClampedArray]": return "u8";
        case "[object Int8Array]": return "i8";
        case "[object Uint16Array]": return "u16";
        case "[object Int16Array]": return "i16";
        case "[object Uint32Array]": return "u32";
        case "[object Int32Array]": return "i32";
        case "[object BigUint64Array]": return "u64";
        case "[object BigInt64Array]": return "i64";
        default: return undefined;
    }
}

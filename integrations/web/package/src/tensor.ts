import { argument } from "./errors.js";

/** The types of floats. */
export type FloatType = "f32" | "f16" | "bf16";
/** The types of labels. */
export type LabelType = "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "u64" | "i64";
/** The type of a tensor's elements. */
export type ElementType = FloatType | LabelType;

/** The `Float16Array` of TypeScript's library, where it has one. */
type Half = typeof globalThis extends { Float16Array: { prototype: infer Data } } ? Data : never;

/** Elements on the host. A `Uint16Array` has labels, or with a `type` the bits of f16 or bf16. */
export type HostData =
    | Half
    | Float32Array
    | Float64Array
    | Uint8Array
    | Uint8ClampedArray
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
    return type in BYTES && !/^b?f/.test(type);
}

/** Returns the bytes of a tensor. */
export function bytesOf(type: ElementType, shape: readonly number[]): number {
    return shape.reduce((product, extent) => product * extent, BYTES[type]);
}

/** Returns true for a buffer of a device. */
export function isBuffer(data: unknown): data is GPUBuffer {
    return tag(data) === "GPUBuffer";
}

/** Returns the name of a built-in class, also of another window's objects. */
function tag(data: unknown): string {
    return Object.prototype.toString.call(data).slice("[object ".length, -1);
}

/** Returns true for typed arrays that can only be floats. */
export function isFloats(data: unknown): boolean {
    return data instanceof Float64Array || ["f32", "f16"].includes(naturalType(data) as string);
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
        const wanted = "an array of whole numbers, the extents of its axes";
        throw argument(`${name} has shape [${shape as unknown}], expected ${wanted}`);
    }
    if (isBuffer(tensor.data)) {
        const type = tensor.type ?? (labels ? "u32" : "f32");
        fits(name, type, labels);
        return { slot, type, shape, data: tensor.data, offset: startOf(name, offset) };
    }
    if (tensor.offset !== undefined) {
        throw argument(`${name} has an offset, which only a GPUBuffer takes: give a subarray`);
    }
    const [type, data] = elements(name, tensor, labels);
    fits(name, type, labels);
    const wanted = bytesOf(type, shape) / BYTES[type];
    if (data.length !== wanted) {
        throw argument(`${name} has ${data.length} elements, but its shape [${shape}] needs ${wanted}`);
    }
    // A copy: the call goes on later, when the page may have changed, transferred or resized what it has given.
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
    return { slot, type, shape, data: bytes, offset };
}

/** Refuses a type of the other kind. */
function fits(name: string, type: ElementType, labels: boolean): void {
    if (type in BYTES && isLabel(type) === labels) return;
    throw argument(`${name} is of ${type}, expected ${labels ? "labels, which are integers" : "floats"}`);
}

/** Returns where a tensor starts in its buffer. */
export function startOf(name: string, offset: number): number {
    if (Number.isSafeInteger(offset) && offset >= 0) return offset;
    throw argument(`${name} has the offset ${String(offset)}, expected a number of bytes`);
}

type Typed = Exclude<HostData, readonly number[]>;

/** Returns elements on the host in a type that kernels read. */
function elements(name: string, { data, type }: Tensor, labels: boolean): [ElementType, Typed] {
    const plain = Array.isArray(data);
    const converted = plain && labels ? "i32" : plain || data instanceof Float64Array ? "f32" : undefined;
    const of = naturalType(data) ?? converted;
    if (of === undefined) throw argument(`${name} has data of ${tag(data)}, expected a typed array or a GPUBuffer`);
    if (type !== undefined && type !== of && !(of === "u16" && (type === "f16" || type === "bf16"))) {
        const given = plain ? `an array, which is of ${of}` : of;
        throw argument(`${name} is said to be of ${type}, but its data is ${given}`);
    }
    if (data instanceof Float64Array) return ["f32", Float32Array.from(data)];
    if (!plain) return [type ?? of, data as Typed];
    const numbers = Array.from(data as readonly number[]);
    if (labels && !numbers.every((label) => Number.isInteger(label) && Math.abs(label) < 2 ** 31)) {
        throw argument(`${name} has labels that are no integers of 32 bits`);
    }
    const other = numbers.findIndex((x) => typeof x !== "number");
    if (other >= 0) throw argument(`${name} has a ${typeof numbers[other]} at ${other}, expected numbers`);
    return labels ? ["i32", Int32Array.from(numbers)] : ["f32", Float32Array.from(numbers)];
}

function naturalType(data: unknown): ElementType | undefined {
    switch (tag(data)) {
        case "Float32Array": return "f32";
        case "Float16Array": return "f16";
        case "Uint8Array": return "u8";
        case "Uint8ClampedArray": return "u8";
        case "Int8Array": return "i8";
        case "Uint16Array": return "u16";
        case "Int16Array": return "i16";
        case "Uint32Array": return "u32";
        case "Int32Array": return "i32";
        case "BigUint64Array": return "u64";
        case "BigInt64Array": return "i64";
        default: return undefined;
    }
}

/** The kinds of errors. */
export type ErrorKind =
    /** Shapes, types or options that do not fit. */
    | "argument"
    /** Labels that are neither a class nor `ignoreIndex`. */
    | "label"
    /** Elements with values that the loss is not defined for, as a probability of 1.5. */
    | "value"
    /** There is no WebGPU here, the device could not be opened, or the WebAssembly part does not load. */
    | "adapter"
    /** The device failed, was lost, or has too little memory. */
    | "device";

/** What this package throws. */
export class LossError extends Error {
    override readonly name = "LossError";
    readonly kind: ErrorKind;
    /** The tensor that has the first bad value. */
    readonly tensor?: string;
    /** The index of the first bad label or value, in C order. */
    readonly position?: number;
    /** The first bad label or value. */
    readonly value?: number;
    /** The number of bad labels or values. */
    readonly count?: number;

    constructor(kind: ErrorKind, message: string, facts: Partial<LossError> = {}) {
        super(message);
        this.kind = kind;
        for (const name of ["tensor", "position", "value", "count"] as const) {
            if (facts[name] !== undefined) Object.assign(this, { [name]: facts[name] });
        }
    }

    /** Returns what the WebAssembly part has thrown as an error of this class. */
    static of(thrown: unknown): unknown {
        const error = thrown as Partial<LossError>;
        return typeof error?.kind === "string" ? new LossError(error.kind, error.message ?? "", error) : thrown;
    }
}

/** Returns the error for an argument that does not fit. */
export function argument(message: string): LossError {
    return new LossError("argument", message);
}

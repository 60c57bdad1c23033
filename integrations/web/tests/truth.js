// The tests' own arithmetic, in f64.

/** Numbers from -3 to 3 that are the same in every run. */
export function noise(count, seed) {
    let state = seed >>> 0;
    return Float32Array.from({ length: count }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return (state / 2 ** 32) * 6 - 3;
    });
}

/** Cross-entropy of images x classes x positions: the losses of rows, their mean, and its gradient. */
export function crossEntropy(logits, labels, [images, classes, positions], ignored) {
    const losses = new Float64Array(images * positions);
    const grad = new Float64Array(logits.length);
    const live = labels.reduce((live, label) => live + (Number(label) === ignored ? 0 : 1), 0);
    for (let row = 0; row < losses.length; row++) {
        const label = Number(labels[row]);
        if (label === ignored) continue;
        const [image, position] = [Math.floor(row / positions), row % positions];
        const at = (c) => (image * classes + c) * positions + position;
        let max = -Infinity;
        for (let c = 0; c < classes; c++) max = Math.max(max, logits[at(c)]);
        let sum = 0;
        for (let c = 0; c < classes; c++) sum += Math.exp(logits[at(c)] - max);
        losses[row] = max + Math.log(sum) - logits[at(label)];
        for (let c = 0; c < classes; c++) {
            grad[at(c)] = (Math.exp(logits[at(c)] - max) / sum - (c === label ? 1 : 0)) / live;
        }
    }
    return { losses, loss: losses.reduce((sum, loss) => sum + loss, 0) / live, grad };
}

/** Fails unless numbers agree to a part of the largest. */
export function close(what, got, wanted, part = 2e-6) {
    const [some, others] = [[got].flat(), [wanted].flat()].map((one) => one[0]?.length === undefined ? one : one[0]);
    if (some.length !== others.length) throw new Error(`${what}: ${some.length} numbers, expected ${others.length}`);
    const scale = others.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    for (let i = 0; i < others.length; i++) {
        if (!(Math.abs(some[i] - others[i]) <= part * scale)) {
            throw new Error(`${what}: ${some[i]} at ${i}, expected ${others[i]}`);
        }
    }
}

/** Fails unless the call throws an error of the package whose properties are these. */
export async function throws(call, wanted) {
    let error;
    try {
        await call();
    } catch (thrown) {
        error = thrown;
    }
    if (error === undefined) throw new Error("it throws nothing");
    for (const [name, value] of Object.entries(wanted)) {
        const fits = value instanceof RegExp ? value.test(error[name]) : error[name] === value;
        if (!fits) throw new Error(`${name} is ${error[name]}, expected ${value}: ${error.stack}`);
    }
}

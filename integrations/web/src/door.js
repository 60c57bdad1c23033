// A way into wgpu for objects that the page has made.
//
// In a browser wgpu has no constructors from a GPUDevice, a GPUBuffer or a GPUComputePassEncoder. But it finds
// everything by method calls, from `navigator.gpu` on, and asks for no types. So it is given objects that answer with
// what the page has: at `navigator.gpu` while it looks there, and a stand-in for the device from then on.

/** Returns `target` with other answers for some of its properties. */
function standIn(target, answers) {
    return new Proxy(target, {
        get(_, name) {
            if (Object.hasOwn(answers, name)) return answers[name];
            const value = target[name];
            return typeof value === "function" ? value.bind(target) : value;
        },
        // The page's own handlers, such as `onuncapturederror`, stay.
        set: () => true,
    });
}

export class Door {
    /** What the next creation returns. */
    #next;
    /** What the page itself has put at `navigator.gpu`. */
    #before;

    /** `device`: the page's, or undefined; then one is opened. */
    constructor(device) {
        this.device = device;
    }

    /** Stands at `navigator.gpu`, where wgpu looks when it makes an instance. */
    putUp() {
        const { navigator } = globalThis;
        this.#before = Object.getOwnPropertyDescriptor(navigator, "gpu");
        Object.defineProperty(navigator, "gpu", { value: this.#gpu(navigator.gpu), configurable: true });
    }

    /** Leaves `navigator.gpu` as it was. */
    takeDown() {
        const { navigator } = globalThis;
        if (this.#before) Object.defineProperty(navigator, "gpu", this.#before);
        else delete navigator.gpu;
    }

    /** Makes the device's next buffer this one. */
    passBuffer(buffer) {
        this.#next = buffer;
    }

    /** Makes the device's next command encoder one whose compute pass is this one. */
    passPass(pass) {
        // wgpu ends the pass that it has begun; the page goes on with its own.
        this.#next = { beginComputePass: () => standIn(pass, { end() {} }) };
    }

    #gpu(real) {
        return {
            wgslLanguageFeatures: real?.wgslLanguageFeatures ?? new Set(),
            getPreferredCanvasFormat: () => "bgra8unorm",
            requestAdapter: () => (this.device ? this.#adapterOfPage() : this.#adapter(real)),
        };
    }

    async #adapter(real) {
        const adapter = await real?.requestAdapter({ powerPreference: "high-performance" });
        if (!adapter) return null;
        return standIn(adapter, {
            requestDevice: async (descriptor) => {
                this.device = await adapter.requestDevice(descriptor);
                return this.#deviceStandIn();
            },
        });
    }

    async #adapterOfPage() {
        const { features, limits, adapterInfo } = this.device;
        return { features, limits, info: adapterInfo, requestDevice: async () => this.#deviceStandIn() };
    }

    #deviceStandIn() {
        const { device } = this;
        const given = (create) => (descriptor) => {
            const next = this.#next;
            this.#next = undefined;
            return next ?? device[create](descriptor);
        };
        return standIn(device, {
            createBuffer: given("createBuffer"),
            createCommandEncoder: given("createCommandEncoder"),
        });
    }
}

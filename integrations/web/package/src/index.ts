/**
 * Neural-network losses and their gradients on WebGPU, with PyTorch's meaning.
 *
 * @module
 */
export * from "./losses.js";
export { LossError, type ErrorKind } from "./errors.js";
export { defaultDevice, type Where } from "./device.js";
export { bind, Step, type BindOptions, type DeviceOutput, type DeviceOutputs, type DeviceTensor, type Into } from "./step.js";
export type { ClassLosses, Computed, Distribution, Large, Output, Small, Summary } from "./call.js";
export type { ElementType, FloatType, HostData, LabelType, Tensor, TensorLike } from "./tensor.js";

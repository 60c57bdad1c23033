//! The buffers of a call, numbered by their bindings.

/// The role of a buffer in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A tensor that the caller passes.
    Input,
    /// A tensor that the caller receives.
    Output,
    /// A buffer that only the kernels use.
    Own,
}

/// Makes [`TensorSlot`] from a table of the name in errors, the variable in kernels, and the role.
macro_rules! slots {
    ($($slot:ident: $name:literal, $variable:literal, $role:ident;)*) => {
        /// A buffer that a kernel binds. The order is the binding number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum TensorSlot {
            $($slot,)*
        }

        impl TensorSlot {
            /// All slots, in their order.
            pub(crate) const ALL: [TensorSlot; [$(TensorSlot::$slot),*].len()] = [$(TensorSlot::$slot),*];

            /// Returns the name by which errors call it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(TensorSlot::$slot => $name,)*
                }
            }

            /// Returns the variable that kernels bind it as, where they have no other name for its content.
            pub(crate) fn variable(self) -> &'static str {
                match self {
                    $(TensorSlot::$slot => $variable,)*
                }
            }

            /// Returns its role in a call.
            pub(crate) fn role(self) -> Role {
                match self {
                    $(TensorSlot::$slot => Role::$role,)*
                }
            }
        }
    };
}

slots! {
    Params: "params", "params", Own;
    Logits: "input", "logits", Input;
    Target: "target", "labels", Input;
    Weight: "weight", "weight", Input;
    Upstream: "upstream gradient", "upstream", Input;
    RowLoss: "unreduced loss", "row_loss", Output;
    Grad: "gradient", "grad", Output;
    Distribution: "log-probabilities or probabilities", "distribution", Output;
    ElementWeight: "element weight", "element_weight", Input;
    PosWeight: "pos_weight", "pos_weight", Input;
    Variance: "var", "variance", Input;
    TargetGrad: "gradient of the target", "target_grad", Output;
    VarianceGrad: "gradient of the variance", "variance_grad", Output;
    Workspace: "workspace", "workspace", Own;
    Result: "result", "result", Output;
    RowWeights: "row weights", "row_weights", Input;
    Record: "rows' records", "record", Output;
    Classes: "sums of classes", "classes", Output;
    GivenStates: "given states", "given_states", Input;
    States: "states", "states", Output;
}

impl TensorSlot {
    /// The number of slots.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Returns true if it is a tensor that the caller receives.
    pub(crate) fn is_output(self) -> bool {
        self.role() == Role::Output
    }
}

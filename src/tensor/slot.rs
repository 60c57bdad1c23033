//! The buffers of a call, by the numbers of their bindings.

/// What a buffer is to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A tensor that callers give.
    Input,
    /// A tensor that callers get.
    Output,
    /// The kernels' own.
    Own,
}

/// [`Slot`] from a table: what errors call a buffer, the variable that kernels bind it as, its role.
macro_rules! slots {
    ($($slot:ident: $name:literal, $variable:literal, $role:ident;)*) => {
        /// A buffer a kernel binds. The order is the binding number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Slot {
            $($slot,)*
        }

        impl Slot {
            /// All of them, in their order.
            pub(crate) const ALL: [Slot; [$(Slot::$slot),*].len()] = [$(Slot::$slot),*];

            /// Returns what errors call it.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Slot::$slot => $name,)*
                }
            }

            /// Returns the variable that kernels bind it as, where they have no other name for what is in it.
            pub(crate) fn variable(self) -> &'static str {
                match self {
                    $(Slot::$slot => $variable,)*
                }
            }

            /// Returns what it is to a call.
            pub(crate) fn role(self) -> Role {
                match self {
                    $(Slot::$slot => Role::$role,)*
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
    Elements: "log-probabilities or probabilities", "elements", Output;
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
}

impl Slot {
    /// How many there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Whether it is a tensor that callers get.
    pub(crate) fn is_output(self) -> bool {
        self.role() == Role::Output
    }
}

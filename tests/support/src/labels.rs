//! Labels that a test owns, in any of their types.

use wgpu_loss::{LabelType, Labels};

macro_rules! owned_labels {
    ($($variant:ident: $type:ty),*) => {
        /// Owned labels in one type.
        #[derive(Clone, Debug)]
        pub enum OwnedLabels {
            $($variant(Vec<$type>)),*
        }

        impl OwnedLabels {
            /// `labels` in a type that must be able to hold each of them.
            pub fn new(label_type: LabelType, labels: impl IntoIterator<Item = i128>) -> Self {
                match label_type {
                    $(LabelType::$variant => {
                        let narrow = |label| <$type>::try_from(label).expect("a label that fits");
                        Self::$variant(labels.into_iter().map(narrow).collect())
                    })*
                    other => panic!("no labels of type {other:?}"),
                }
            }

            /// The labels as the library takes them.
            pub fn borrow(&self) -> Labels<'_> {
                match self {
                    $(Self::$variant(labels) => labels.into()),*
                }
            }
        }
    };
}
owned_labels!(U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64);

impl OwnedLabels {
    /// Every label, wide.
    pub fn iter(&self) -> impl Iterator<Item = i128> + '_ {
        let labels = self.borrow();
        (0..labels.len()).map(move |row| labels.get(row))
    }

    /// The label of a row.
    pub fn get(&self, row: usize) -> i128 {
        self.borrow().get(row)
    }
}

//! The values of names in the files of `shaders/`.

use std::collections::HashMap;

/// The value of a name.
#[derive(Clone, Debug)]
pub(in crate::kernels) enum Value {
    Flag(bool),
    Text(String),
    List(Vec<Value>),
    /// Named fields.
    Record(Vec<(&'static str, Value)>),
}

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns a list of texts.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Flag(_) => "a flag",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Record(_) => "a record",
        }
    }
}

/// All names that a kernel's files may ask for. Asking for a missing name is always an error.
#[derive(Debug, Default)]
pub(in crate::kernels) struct Names {
    values: HashMap<&'static str, Value>,
}

impl Names {
    /// # Panics
    /// If the name exists: two kernels' flags of one name would affect each other.
    pub fn insert(&mut self, name: &'static str, value: Value) {
        let known = self.values.insert(name, value);
        assert!(known.is_none(), "the name {name} is given twice");
    }

    pub fn insert_flags(&mut self, flags: impl IntoIterator<Item = (bool, &'static str)>) {
        flags.into_iter().for_each(|(on, name)| self.insert(name, Value::Flag(on)));
    }
}

/// Names, preceded by the variables of the loops around a line.
pub(super) struct Scope<'a> {
    pub names: &'a Names,
    pub variables: Vec<(&'static str, &'a Value)>,
}

impl<'a> Scope<'a> {
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        match self.value(name)? {
            Value::Flag(flag) => Ok(*flag),
            other => Err(format!("{name} is {}, not a flag", other.kind())),
        }
    }

    pub fn text(&self, name: &str) -> Result<&'a str, String> {
        match self.value(name)? {
            Value::Text(text) => Ok(text),
            other => Err(format!("{name} is {}, not a text", other.kind())),
        }
    }

    pub fn list(&self, name: &str) -> Result<&'a [Value], String> {
        match self.value(name)? {
            Value::List(list) => Ok(list),
            other => Err(format!("{name} is {}, not a list", other.kind())),
        }
    }

    fn value(&self, path: &str) -> Result<&'a Value, String> {
        let unknown = || format!("no such name: {path}");
        let mut parts = path.split('.');
        let name = parts.next().unwrap_or_default();
        let variable = self.variables.iter().rev().find(|(variable, _)| *variable == name);
        let first = variable.map(|(_, value)| *value).or_else(|| self.names.values.get(name));
        parts.try_fold(first.ok_or_else(unknown)?, |value, part| {
            let Value::Record(fields) = value else { return Err(unknown()) };
            let field = fields.iter().find(|(name, _)| *name == part);
            field.map(|(_, value)| value).ok_or_else(unknown)
        })
    }
}

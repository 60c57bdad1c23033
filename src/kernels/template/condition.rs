//! The conditions of `@if`: names, `!`, `&&`, `||` and parentheses, which bind as in WGSL.

/// A condition over names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Name(&'static str),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

impl Condition {
    /// Parses all of `text`.
    pub fn parse(text: &'static str) -> Result<Self, String> {
        let mut rest = Tokens { rest: text };
        let condition = rest.alternatives()?;
        match rest.rest.trim() {
            "" => Ok(condition),
            rest => Err(format!("{rest:?} after a condition")),
        }
    }

    /// Returns its value. Asks for the names from left to right, and for none that can no longer change the value.
    pub fn holds<E>(
        &self,
        ask: &mut impl FnMut(&'static str) -> Result<bool, E>,
    ) -> Result<bool, E> {
        Ok(match self {
            Self::Name(name) => ask(name)?,
            Self::Not(condition) => !condition.holds(ask)?,
            Self::And(a, b) => a.holds(ask)? && b.holds(ask)?,
            Self::Or(a, b) => a.holds(ask)? || b.holds(ask)?,
        })
    }
}

/// The rest of a condition's text.
struct Tokens {
    rest: &'static str,
}

impl Tokens {
    /// Removes `token` if it comes next, and returns true.
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn alternatives(&mut self) -> Result<Condition, String> {
        let mut condition = self.conjunction()?;
        while self.take("||") {
            condition = Condition::Or(Box::new(condition), Box::new(self.conjunction()?));
        }
        Ok(condition)
    }

    fn conjunction(&mut self) -> Result<Condition, String> {
        let mut condition = self.operand()?;
        while self.take("&&") {
            condition = Condition::And(Box::new(condition), Box::new(self.operand()?));
        }
        Ok(condition)
    }

    fn operand(&mut self) -> Result<Condition, String> {
        if self.take("!") {
            return Ok(Condition::Not(Box::new(self.operand()?)));
        }
        if self.take("(") {
            let condition = self.alternatives()?;
            return match self.take(")") {
                true => Ok(condition),
                false => Err(format!("a ) is missing before {:?}", self.rest)),
            };
        }
        let text = self.rest.trim_start();
        let (name, rest) = text.split_at(name_length(text));
        if name.is_empty() {
            return Err(format!("{text:?} where a name is wanted"));
        }
        self.rest = rest;
        Ok(Condition::Name(name))
    }
}

/// Returns the number of bytes at the beginning of `text` that are a name; `a.b` is one.
pub(super) fn name_length(text: &str) -> usize {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    text.find(|c| !is_of_name(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::Condition;

    #[test]
    fn and_binds_before_or() {
        let holds = |text, on: &[&str]| {
            let condition = Condition::parse(text).expect("a condition");
            condition.holds(&mut |name| Ok::<_, Infallible>(on.contains(&name)))
        };
        assert_eq!(holds("A || B && C", &["A"]), Ok(true));
        assert_eq!(holds("(A || B) && C", &["A"]), Ok(false));
        assert_eq!(holds("!(A && t.scalars) && !C", &["A"]), Ok(true));
        assert_eq!(holds("!A", &["A"]), Ok(false));
    }

    #[test]
    fn names_that_cannot_matter_are_not_asked_for() {
        let mut asked = Vec::new();
        let condition = Condition::parse("A && B || C").expect("a condition");
        let holds = condition.holds(&mut |name| {
            asked.push(name);
            Ok::<_, Infallible>(name == "C")
        });
        assert_eq!((holds, asked), (Ok(true), vec!["A", "C"]));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "A &&", "A B", "(A", "A & B", "!", "A)"] {
            Condition::parse(text).expect_err(text);
        }
    }
}
